package file

import (
	"context"
	_ "embed" // the page

	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// secretsDir is where Docker and Compose put secrets: the folder of the store that is there without an entry.
const secretsDir = "/run/secrets"

// Kind is the kind file.
func Kind() secret.Kind {
	return secret.Kind{
		Name: "file", ReadOnly: true,
		Summary: "Files in a folder: secrets of Docker and Compose, volumes of Kubernetes, credentials " +
			"of systemd.", Page: page,
		Settings: func() secret.Settings { return new(Settings) },
		Always:   func() secret.Settings { return &Settings{Dir: secretsDir} },
		AnyFile:  true,
	}
}

// Settings are the keys of a store of kind file.
type Settings struct {
	Dir string `yaml:"dir" path:"dir" eg:"/run/secrets" needed:"write dir: /run/secrets" doc:"The folder that paths are below."`
}

// Check implements secret.Settings.
func (*Settings) Check(secret.Report) {}

// Files implements secret.Settings. Those in the folder are read each time.
func (*Settings) Files() []string { return nil }

// Variables implements secret.Settings.
func (*Settings) Variables([]string) []string { return nil }

// Open implements secret.Settings.
func (s *Settings) Open(context.Context, secret.Host) (secret.Store, error) {
	return New(Options{Dir: s.Dir})
}
