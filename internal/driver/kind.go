package driver

import (
	"context"

	"sallyport/internal/secret"
)

// Kind is all that the rest of Sallyport knows of a kind of driver. The folder of a driver declares its own;
// internal/app has the one list of them.
type Kind struct {
	Name    string // what the configuration says for `kind`, and the name of the folder
	Summary string // one sentence, for the reference and for editors
	Page    string // Markdown: its page in docs/drivers, from where links count

	// Settings returns empty settings: a pointer to a struct whose fields are the keys that drivers of this kind have.
	// Its tags are those of package config.
	Settings func() Settings
}

// Settings are what one driver is set up with.
type Settings interface {
	// Check reports what is wrong with single values and with what they say of each other. Shapes, bounds and keys that
	// have to be there are the declaration's; with a value that could not be read, a zero value stands here.
	Check(r secret.Report)
	// Secrets lists the secrets that the driver itself needs, such as the administrator's key with which it makes
	// others.
	Secrets() []secret.Ref
	// Open makes the driver. It contacts nobody, and is called only with settings that Check has found nothing wrong
	// with.
	Open(ctx context.Context, on Host) (Driver, error)
}

// Host is what a driver finds where it is opened.
type Host struct {
	Environ []string // NAME=VALUE each, as the process was started

	// Secret reads one of the settings' own secrets. A driver reads it for each call and keeps nothing: it may be
	// rotated too.
	Secret func(ctx context.Context, ref secret.Ref) (secret.Value, error)
}
