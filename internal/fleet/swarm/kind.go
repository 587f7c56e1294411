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
	Renew    []string          `yaml:"secrets" eg:"[openai_key]" doc:"Secrets of a store of kind swarm, by their names there. A restart has each service that mounts one mount the newest version instead, under the same target, with the same owner and mode."`
	Keep     int               `yaml:"keep" min:"0" max:"1000" eg:"1" doc:"How many versions of each of these secrets stay in the swarm after a restart. Older ones are removed for good once no service uses them, nor would after docker service rollback. Default: all."`
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
	for i, name := range s.Renew {
		if checkSecret(name) != nil || slices.Contains(s.Renew[:i], name) {
			r.Fail("secrets."+strconv.Itoa(i), "is no secret, or stands there twice",
				"`sallyport secret list` shows their names")
		}
	}
	if s.Keep > 0 && len(s.Renew) == 0 {
		r.Fail("keep", "has no secrets beside it", "add secrets: [NAME]")
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
	return New(Options{Host: host, Services: s.Services, Machines: s.Machines, Secrets: s.Renew, Keep: s.Keep})
}
