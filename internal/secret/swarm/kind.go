package swarm

import (
	"context"
	_ "embed" // the page
	"net/url"
	"slices"

	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind swarm.
func Kind() secret.Kind {
	return secret.Kind{
		Name: "swarm", Summary: "Secrets of a Docker Swarm, read where they are mounted; with a Docker host they are " +
			"written and listed too.", Page: page,
		Settings: func() secret.Settings { return new(Settings) },
		Withhold: []string{"DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_AUTH_CONFIG"},
	}
}

// Settings are the keys of a store of kind swarm.
type Settings struct {
	Host string `yaml:"host" eg:"unix:///var/run/docker.sock" doc:"The Docker API, for writing and listing. Absent: secrets are read from dir alone."`
	Dir  string `yaml:"dir" path:"dir" eg:"/run/secrets" doc:"The folder that paths are below. Default: /run/secrets."`
}

// Check implements secret.Settings.
func (s *Settings) Check(r secret.Report) {
	if u, err := url.Parse(s.Host); s.Host != "" &&
		(err != nil || !slices.Contains([]string{"unix", "tcp", "https", "http"}, u.Scheme)) {
		r.Fail("host", "is not a Docker host", "write unix:///var/run/docker.sock, or https://HOST:PORT")
	}
}

// Files implements secret.Settings.
func (*Settings) Files() []string { return nil }

// Variables implements secret.Settings.
func (*Settings) Variables([]string) []string { return nil }

// Open implements secret.Settings: a store that reads what is mounted, and with a Docker host one that writes and lists
// too.
func (s *Settings) Open(context.Context, secret.Host) (secret.Store, error) {
	o := Options{Dir: s.Dir, Host: s.Host}
	if s.Host == "" {
		return New(o)
	}
	return NewManager(o)
}
