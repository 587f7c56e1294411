package swarm

import (
	"context"
	_ "embed" // the page
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"sallyport/internal/fleet"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind swarm.
func Kind() fleet.Kind {
	return fleet.Kind{
		Name: "swarm", Summary: "Services of a Docker Swarm.", Page: page,
		Settings: func() fleet.Settings { return new(Settings) },
	}
}

// Settings are the keys of a fleet of kind swarm.
type Settings struct {
	Host     string            `yaml:"host" eg:"unix:///var/run/docker.sock" doc:"The Docker API of a manager of the swarm. Default: unix:///var/run/docker.sock."`
	Machines map[string]string `yaml:"machines" keys:"text" eg:"{n8n-2: 'ssh://n8n-2'}" doc:"The Docker APIs of other machines of the swarm, by the hostnames that docker node ls shows: sallyport runs in their containers through these, to prove a master key. Nothing else needs them."`
	Services []string          `yaml:"services" needed:"write services: [n8n_worker, n8n_webhook, n8n_main]" eg:"[n8n_worker, n8n_webhook, n8n_main]" doc:"The services, by the names that docker service ls shows, in the order in which they are restarted."`
}

// Check implements fleet.Settings.
func (s *Settings) Check(r secret.Report) {
	if u, err := url.Parse(s.Host); s.Host != "" &&
		(err != nil || !slices.Contains([]string{"unix", "tcp", "https", "http"}, u.Scheme)) {
		r.Fail("host", "is not a Docker host", "write unix:///var/run/docker.sock, or https://HOST:PORT")
	}
	for name, host := range s.Machines {
		u, err := url.Parse(host)
		if err != nil || u.Host+u.Path == "" || strings.ContainsFunc(host, unicode.IsControl) ||
			!slices.Contains([]string{"unix", "tcp", "https", "ssh"}, u.Scheme) {
			r.Fail("machines."+name, "is not a Docker host", "write ssh://HOST or https://HOST:PORT")
		}
	}
	for i, name := range s.Services {
		if name == "" || strings.ContainsAny(name, "/ ") || strings.HasPrefix(name, "-") ||
			slices.Contains(s.Services[:i], name) {
			r.Fail("services."+strconv.Itoa(i), "is no service, or stands there twice",
				"`docker service ls` shows their names")
		}
	}
}

// Secrets implements fleet.Settings.
func (*Settings) Secrets() []secret.Ref { return nil }

// Open implements fleet.Settings.
func (s *Settings) Open(context.Context, fleet.Host) (fleet.Orchestrator, error) {
	host := s.Host
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	return New(Options{Host: host, Services: s.Services, Machines: s.Machines})
}
