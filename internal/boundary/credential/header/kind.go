// Package header is the kind header of credential: its settings, their check, and what it puts onto requests.
package header

import (
	"cmp"
	_ "embed" // the page

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind header.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "header", Summary: "The secret goes into a header of its own.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown: func(text func(...string) string) string {
			return "`" + text("header") + ": " + cmp.Or(text("format"), "{secret}") + "`"
		},
	}
}

// Settings are the keys of a credential of kind header.
type Settings struct {
	credential.Static

	Header string `yaml:"header" needed:"name the header, such as header: X-API-Key" eg:"X-API-Key" doc:"The header's name."`
	Format string `yaml:"format" free:"true" default:"{secret}" eg:"\"Token {secret}\"" doc:"How the value is written; {secret} stands for the secret."`
}

// Spec implements credential.Settings.
func (s *Settings) Spec() credential.Spec {
	return credential.Spec{Kind: credential.KindHeader, Header: s.Header, Format: s.Format}
}

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	r.Header("header", s.Header)
	r.Format("format", s.Format, `"Token {secret}"`)
}
