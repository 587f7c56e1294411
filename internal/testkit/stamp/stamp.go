// Package stamp is a kind of credential that only tests have: the secret goes into Authorization, with a text before
// it. It stands for a kind that a test adds.
package stamp

import (
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

// Kind is the kind stamp.
func Kind() config.CredentialKind {
	return config.CredentialKind{
		Name: "stamp", Summary: "A secret with a stamp before it.", Page: "# stamp\n\nFor tests.\n",
		Settings: func() config.CredentialSettings { return new(Settings) },
	}
}

// Settings are the keys of a credential of kind stamp.
type Settings struct {
	credential.Static

	Stamp  string        `yaml:"stamp" inputs:"plain" needed:"write stamp: TEXT" eg:"top" doc:"What goes before the secret."`
	Ink    *Ink          `yaml:"ink" doc:"What it is written with."`
	Inputs config.Inputs `yaml:"inputs" free:"true" keys:"text" doc:"What stands in stamp."`
}

// Ink is the key ink.
type Ink struct {
	Colour string `yaml:"colour" default:"red" enum:"red blue" doc:"Its colour."`
}

// Spec implements credential.Settings.
func (s *Settings) Spec() credential.Spec {
	return credential.Spec{Kind: credential.KindHeader, Header: "Authorization", Format: s.Stamp + " {secret}"}
}

// Slot implements config.CredentialSettings.
func (s *Settings) Slot() config.Slot { return s.Spec().Place() }

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	if strings.Contains(s.Stamp, "/") {
		r.Fail("stamp", "has a slash in it", "leave it out")
	}
}
