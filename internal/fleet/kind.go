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
	// Open makes the orchestrator. It contacts nobody, and is called only with settings that Check has found nothing
	// wrong with.
	Open(ctx context.Context) (Orchestrator, error)
}
