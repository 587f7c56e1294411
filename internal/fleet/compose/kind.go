package compose

import (
	"context"
	_ "embed" // the page
	"net/url"
	"regexp"
	"slices"
	"strconv"

	"sallyport/internal/fleet"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind compose.
func Kind() fleet.Kind {
	return fleet.Kind{
		Name: "compose", Summary: "Containers of a Docker Compose project.", Page: page,
		Settings: func() fleet.Settings { return new(Settings) },
	}
}

// Settings are the keys of a fleet of kind compose.
type Settings struct {
	Host     string   `yaml:"host" eg:"unix:///var/run/docker.sock" doc:"The Docker API. Default: unix:///var/run/docker.sock."`
	Project  string   `yaml:"project" needed:"write project: NAME, as docker compose ls shows it" eg:"n8n" doc:"The Compose project: docker compose ls shows it."`
	Services []string `yaml:"services" needed:"write services: [n8n-worker, n8n-webhook, n8n]" eg:"[n8n-worker, n8n-webhook, n8n]" doc:"The services of the project, in the order in which their containers are restarted, one at a time."`
}

// isName is what Compose takes for a project or a service.
var isName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Check implements fleet.Settings.
func (s *Settings) Check(r secret.Report) {
	if u, err := url.Parse(s.Host); s.Host != "" &&
		(err != nil || !slices.Contains([]string{"unix", "tcp", "https", "http"}, u.Scheme)) {
		r.Fail("host", "is not a Docker host", "write unix:///var/run/docker.sock, or https://HOST:PORT")
	}
	if s.Project != "" && !isName.MatchString(s.Project) {
		r.Fail("project", "is no project", "`docker compose ls` shows its name")
	}
	for i, name := range s.Services {
		if !isName.MatchString(name) || slices.Contains(s.Services[:i], name) {
			r.Fail("services."+strconv.Itoa(i), "is no service, or stands there twice",
				"`docker compose ps --services` shows their names")
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
	return New(Options{Host: host, Project: s.Project, Services: s.Services})
}
