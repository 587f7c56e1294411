package builtin

import (
	"context"
	_ "embed" // the page

	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind builtin.
func Kind() secret.Kind {
	return secret.Kind{
		Name:     secret.Builtin,
		Summary:  "Sallyport's own database, where secrets are sealed; `sallyport secret set` puts them there.",
		Page:     page,
		Settings: func() secret.Settings { return new(Settings) },
		Always:   func() secret.Settings { return new(Settings) },
		Own:      true,
	}
}

// Settings are the keys of a store of kind builtin: none. Where the database is, and its key, is said for the whole
// gate.
type Settings struct{}

// Check implements secret.Settings.
func (*Settings) Check(secret.Report) {}

// Files implements secret.Settings.
func (*Settings) Files() []string { return nil }

// Variables implements secret.Settings.
func (*Settings) Variables([]string) []string { return nil }

// Open implements secret.Settings.
func (*Settings) Open(ctx context.Context, on secret.Host) (secret.Store, error) { return on.Own(ctx) }
