// Package path is the kind path of credential: its settings, their check, and what it puts onto requests.
package path

import (
	_ "embed" // the page
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind path.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "path", Summary: "The secret goes before the path, as in the address of a webhook.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown:    func(text func(...string) string) string { return "`" + text("format") + "/…`" },
	}
}

// Settings are the keys of a credential of kind path.
type Settings struct {
	credential.Static

	Format string        `yaml:"format" free:"true" inputs:"around" needed:"write it as \"/bot{secret}\"" eg:"/bot{secret}" doc:"What goes before the path; {secret} stands for the secret."`
	Inputs config.Inputs `yaml:"inputs" free:"true" keys:"text" eg:"{team: T024}" doc:"What a preset asks for (docs/presets.md): {NAME} stands for it in format."`
}

// Spec implements credential.Settings.
func (s *Settings) Spec() credential.Spec {
	return credential.Spec{Kind: credential.KindPath, Format: s.Format}
}

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	switch {
	case s.Format == "":
	case !strings.HasPrefix(s.Format, "/"), strings.HasSuffix(s.Format, "/"), strings.Contains(s.Format, "//"):
		r.Fail("format", "is not what goes before a path",
			`write it as "/bot{secret}": a slash in front and none at the end`)
	default:
		r.Format("format", s.Format, `"Token {secret}"`)
	}
}
