package gcpsm

import (
	"context"
	_ "embed" // the page
	"fmt"
	"strings"

	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind gcpsm.
func Kind() secret.Kind {
	return secret.Kind{
		Name: "gcpsm", Summary: "Google Secret Manager.", Page: page,
		Settings: func() secret.Settings { return new(Settings) },
		Moving:   isAlias,
		Withhold: []string{
			"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN",
			"CLOUDSDK_AUTH_*", "CLOUDSDK_CONFIG",
		},
	}
}

// isAlias tells an alias, which can be moved, from a version, which is a number.
func isAlias(version string) bool { return strings.Trim(version, "0123456789") != "" }

// Settings are the keys of a store of kind gcpsm.
type Settings struct {
	Project  string `yaml:"project" eg:"n8n-prod" doc:"The project of paths that are not whole resource names."`
	Endpoint string `yaml:"endpoint" eg:"secretmanager.europe-west3.rep.googleapis.com" meant:"address" doc:"Another address of the service, as HOST or HOST:PORT; that of a region makes the secrets the region's."`
	CAFile   string `yaml:"ca_file" path:"file" eg:"./ca.pem" backend:"same" doc:"PEM certificates to trust instead of the system's."`
}

// Check implements secret.Settings.
func (s *Settings) Check(r secret.Report) {
	r.Certificates("ca_file", s.CAFile)
	r.Address("endpoint", strings.TrimPrefix(s.Endpoint, "http://"), "secretmanager.europe-west3.rep.googleapis.com")
}

// Files implements secret.Settings.
func (s *Settings) Files() []string { return []string{s.CAFile} }

// Variables implements secret.Settings.
func (*Settings) Variables([]string) []string { return nil }

// Open implements secret.Settings.
func (s *Settings) Open(context.Context, secret.Host) (secret.Store, error) {
	pool, err := localfile.CertPool(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	return New(Options{Project: s.Project, Endpoint: s.Endpoint, CAPool: pool})
}
