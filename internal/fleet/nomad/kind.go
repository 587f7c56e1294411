package nomad

import (
	"context"
	_ "embed" // the page
	"slices"
	"strconv"

	"sallyport/internal/fleet"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind nomad.
func Kind() fleet.Kind {
	return fleet.Kind{
		Name: "nomad", Summary: "Task groups of Nomad jobs.", Page: page,
		Settings: func() fleet.Settings { return new(Settings) },
	}
}

// Settings are the keys of a fleet of kind nomad.
type Settings struct {
	Address    string     `yaml:"address" eg:"https://nomad.internal:4646" doc:"A server or an agent of the cluster; unix:///PATH is a socket. Default: http://127.0.0.1:4646. Without TLS on this machine alone."`
	Namespace  string     `yaml:"namespace" eg:"n8n" doc:"The namespace of the jobs. Default: default."`
	Region     string     `yaml:"region" eg:"eu" doc:"The region of the jobs. Default: the agent's."`
	Token      secret.Ref `yaml:"token" eg:"ref+builtin://nomad-token" doc:"The ACL token, by reference. It is read again for each call."`
	CA         string     `yaml:"ca" path:"file" eg:"/etc/nomad.d/ca.pem" doc:"File with the certificate authority of the cluster, PEM. Default: the system's."`
	Cert       string     `yaml:"cert" path:"file" eg:"/etc/nomad.d/cli.pem" doc:"File with a certificate of ours, PEM, where the cluster verifies clients."`
	Key        string     `yaml:"key" path:"file" eg:"/etc/nomad.d/cli-key.pem" doc:"File with its private key, PEM."`
	ServerName string     `yaml:"server_name" eg:"server.global.nomad" doc:"The name in the server's certificate. Default: the host of address."`
	Groups     []string   `yaml:"groups" needed:"write groups: [JOB/GROUP, …]" eg:"[n8n/worker, n8n/webhook, n8n/main]" doc:"The task groups, JOB/GROUP, in the order in which they are restarted."`
}

// Check implements fleet.Settings.
func (s *Settings) Check(r secret.Report) {
	if s.Address != "" {
		if problem := CheckAddress(s.Address); problem != "" {
			r.Fail("address", problem, hintAddress)
		}
	}
	if (s.Cert == "") != (s.Key == "") {
		r.Fail("cert", "and key belong together", "write both, or neither")
	}
	for i, name := range s.Groups {
		if !isUnit.MatchString(name) || slices.Contains(s.Groups[:i], name) {
			r.Fail("groups."+strconv.Itoa(i), "is no JOB/GROUP, or stands there twice",
				"`nomad job status JOB` shows the groups of a job")
		}
	}
}

// Secrets implements fleet.Settings.
func (s *Settings) Secrets() []secret.Ref {
	if s.Token.IsZero() {
		return nil
	}
	return []secret.Ref{s.Token}
}

// Open implements fleet.Settings.
func (s *Settings) Open(_ context.Context, on fleet.Host) (fleet.Orchestrator, error) {
	o := Options{
		Address: s.Address, Namespace: s.Namespace, Region: s.Region, CA: s.CA, Cert: s.Cert, Key: s.Key,
		ServerName: s.ServerName, Groups: s.Groups,
	}
	if !s.Token.IsZero() {
		o.Token = func(ctx context.Context) (secret.Value, error) { return on.Secret(ctx, s.Token) }
	}
	return New(o)
}
