// Package body is the kind body of credential: its settings, their check, and what it puts onto requests.
package body

import (
	_ "embed" // the page
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind body.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "body", Summary: "The secret goes into a field of the body, JSON or a form.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown:    func(text func(...string) string) string { return "`" + text("pointer") + "` (" + text("as") + ")" },
	}
}

// Settings are the keys of a credential of kind body.
type Settings struct {
	credential.Static

	Pointer string `yaml:"pointer" needed:"write pointer: /auth/api_key" eg:"/auth/api_key" doc:"The field that the secret goes into, as a JSON pointer; in a form /NAME."`
	As      string `yaml:"as" default:"json" enum:"json form" doc:"What the body is."`
	Format  string `yaml:"format" free:"true" default:"{secret}" eg:"\"Token {secret}\"" doc:"How the value is written; {secret} stands for the secret."`
}

// Spec implements credential.Settings.
func (s *Settings) Spec() credential.Spec {
	return credential.Spec{Kind: credential.KindBody, Pointer: s.Pointer, As: s.As, Format: s.Format}
}

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Body is what the body is. Several credentials in one request have to agree.
func (s *Settings) Body() string { return s.As }

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	good := r.Pointer("pointer", s.Pointer, "write it as /api_key or /auth/api_key")
	if good && s.As == "form" && strings.Count(s.Pointer, "/") > 1 {
		r.Fail("pointer", "leads into something, and a form is flat", "write /NAME")
	}
	r.Format("format", s.Format, `"Token {secret}"`)
}
