package env

import (
	"context"
	_ "embed" // the page
	"strings"

	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind env.
func Kind() secret.Kind {
	return secret.Kind{
		Name: "env", ReadOnly: true, Summary: "The variables that Sallyport was started with.", Page: page,
		Settings: func() secret.Settings { return new(Settings) },
		Always:   func() secret.Settings { return new(Settings) },
		Fixed:    true,
	}
}

// Settings are the keys of a store of kind env.
type Settings struct {
	Prefix string `yaml:"prefix" eg:"N8N_" doc:"What the variables begin with; paths leave it out."`
}

// Check implements secret.Settings.
func (s *Settings) Check(r secret.Report) {
	if s.Prefix != "" && !beginsVariable(s.Prefix) {
		r.Fail("prefix", "is not how a variable's name begins", "use A-Z, 0-9 and '_', such as prefix: N8N_")
	}
}

func beginsVariable(prefix string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	return strings.Trim(prefix, letters+"0123456789") == "" && strings.ContainsRune(letters, rune(prefix[0]))
}

// Files implements secret.Settings.
func (*Settings) Files() []string { return nil }

// Variables implements secret.Settings. What is a secret for services is not what a store is entered with.
func (*Settings) Variables([]string) []string { return nil }

// Open implements secret.Settings.
func (s *Settings) Open(_ context.Context, on secret.Host) (secret.Store, error) {
	return New(Options{Prefix: s.Prefix, Environ: on.Environ})
}
