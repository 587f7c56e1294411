package fleet

import (
	"context"

	"sallyport/internal/secret"
)

// Kind is all that the rest of Sallyport knows of a kind of fleet. The folder of an adapter declares its own;
// internal/app has the one list of them.
type Kind struct {
	Name    string // what the configuration says for `kind`, and the name of the folder
	Summary string // one sentence, for the reference and for editors
	Page    string // Markdown: its section of the page about fleets

	// Settings returns empty settings: a pointer to a struct whose fields are the keys that fleets of this kind have
	// beside the common ones. Its tags are those of package config.
	Settings func() Settings
}

// Settings are what one fleet of a kind is set up with.
type Settings interface {
	// Check reports what is wrong with single values and with what they say of each other.
	Check(r secret.Report)
	// Secrets lists the secrets that the orchestrator itself needs, such as a token.
	Secrets() []secret.Ref
	// Open makes the orchestrator. It contacts nobody, and is called only with settings that Check has found nothing
	// wrong with.
	Open(ctx context.Context, on Host) (Orchestrator, error)
}

// Host is what an orchestrator finds where it is opened.
type Host struct {
	// Secret reads one of the settings' own secrets. It is read for each call, and nothing is kept.
	Secret func(ctx context.Context, ref secret.Ref) (secret.Value, error)
}
