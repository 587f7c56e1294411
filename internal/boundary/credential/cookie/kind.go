// Package cookie is the kind cookie of credential: its settings, their check, and what it puts onto requests.
package cookie

import (
	_ "embed" // the page

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind cookie.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "cookie", Summary: "The secret goes into a cookie.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
	}
}

// Settings are the keys of a credential of kind cookie.
type Settings struct {
	credential.Static

	Cookie string `yaml:"cookie" needed:"write cookie: session" eg:"session" doc:"The cookie's name."`
	Format string `yaml:"format" free:"true" default:"{secret}" eg:"\"Token {secret}\"" doc:"How the value is written; {secret} stands for the secret."`
}

// Spec implements credential.Settings.
func (s *Settings) Spec() credential.Spec {
	return credential.Spec{Kind: credential.KindCookie, Cookie: s.Cookie, Format: s.Format}
}

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	r.Cookie("cookie", s.Cookie)
	r.Format("format", s.Format, `"Token {secret}"`)
}
