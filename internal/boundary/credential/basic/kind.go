// Package basic is the kind basic of credential: its settings, their check, and what it puts onto requests.
package basic

import (
	"cmp"
	_ "embed" // the page

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind basic.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "basic", Summary: "Basic authentication (RFC 7617): user and password in the header Authorization.",
		Page:     page,
		Settings: func() config.CredentialSettings { return new(Settings) },
		Shown: func(text func(...string) string) string {
			return "`" + cmp.Or(text("user_pass"), cmp.Or(text("username"), "{username}")+":{secret}") + "`"
		},
	}
}

// Settings are the keys of a credential of kind basic.
type Settings struct {
	credential.Static
	credential.User

	UserPass string `yaml:"user_pass" free:"true" yields:"username username_secret" eg:"\"{secret}:X\"" doc:"User and password as one, where the secret is not the password alone."`
}

// Spec implements credential.Settings.
func (s *Settings) Spec() credential.Spec {
	return credential.Spec{Kind: credential.KindBasic, Username: s.Username, UserPass: s.UserPass}
}

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Build implements credential.Building.
func (s *Settings) Build(in *credential.Reader, p *credential.Part) error {
	p.Spec.Username, p.Spec.HideUser = s.Name(in)
	return s.Static.Build(in, p)
}

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	s.CheckUser(r, s.UserPass != "")
	switch {
	case s.UserPass == "":
	case s.Username != "" || !s.UsernameSecret.IsZero():
		r.Fail("user_pass", "stands beside a user", "keep one: user_pass is user and password in one")
	default:
		r.Format("user_pass", s.UserPass, `"{secret}:X"`)
	}
}
