// Package bearer is the kind bearer of credential: its settings, their check, and what it puts onto requests.
package bearer

import (
	_ "embed" // the page

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind bearer.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "bearer", Summary: "The secret goes into the header Authorization, behind the word Bearer or another.",
		Page:     page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown:    func(text func(...string) string) string { return "`Authorization: Bearer {secret}`" },
		Usual:    true,
	}
}

// Settings are the keys of a credential of kind bearer.
type Settings struct {
	credential.Static

	Format string `yaml:"format" free:"true" default:"Bearer {secret}" eg:"\"Token {secret}\"" doc:"How the value is written; {secret} stands for the secret."`
}

// Spec implements credential.Settings.
func (s *Settings) Spec() credential.Spec {
	return credential.Spec{Kind: credential.KindBearer, Format: s.Format}
}

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	r.Format("format", s.Format, `"Token {secret}"`)
}
