// Package query is the kind query of credential: its settings, their check, and what it puts onto requests.
package query

import (
	"cmp"
	_ "embed" // the page

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind query.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "query", Summary: "The secret goes into a query parameter.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown: func(text func(...string) string) string {
			return "`?" + text("param") + "=" + cmp.Or(text("format"), "{secret}") + "`"
		},
	}
}

// Settings are the keys of a credential of kind query.
type Settings struct {
	credential.Static

	Param  string `yaml:"param" needed:"name the query parameter, such as param: key" eg:"key" doc:"The query parameter's name."`
	Format string `yaml:"format" free:"true" default:"{secret}" eg:"\"Token {secret}\"" doc:"How the value is written; {secret} stands for the secret."`
}

// Spec implements credential.Settings.
func (s *Settings) Spec() credential.Spec {
	return credential.Spec{Kind: credential.KindQuery, Param: s.Param, Format: s.Format}
}

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	r.Param("param", s.Param)
	r.Format("format", s.Format, `"Token {secret}"`)
}
