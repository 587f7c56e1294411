// Package none is the kind none of credential: its settings, their check, and what it puts onto requests.
package none

import (
	_ "embed" // the page

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

//go:embed kind.md
var page string

// Kind is the kind none.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "none", Summary: "Nothing goes onto the request: the API wants no credential, or knows its callers by " +
			"a client certificate.", Page: page,
		Settings: func() config.CredentialSettings { return new(Settings) },
	}
}

// Settings are the keys of a credential of kind none.
type Settings struct{}

// Class implements config.CredentialSettings.
func (*Settings) Class() config.Class { return config.Nothing }

// Spec implements credential.Settings.
func (*Settings) Spec() credential.Spec { return credential.Spec{Kind: credential.KindNone} }

// Slot implements config.CredentialSettings.
func (*Settings) Slot() config.Slot { return config.Slot{} }

// Check implements config.CredentialSettings.
func (*Settings) Check(*config.CredentialReport) {}

// Build implements credential.Building.
func (*Settings) Build(*credential.Reader, *credential.Part) error { return nil }
