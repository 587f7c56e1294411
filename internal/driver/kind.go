package driver

import (
	"context"
	"net/http"

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

// Calling is implemented by settings whose driver calls services through the gate.
type Calling interface {
	// Services lists the configured services that the driver calls, by the key that names each. A service that the
	// configuration does not have is an error at that key.
	Services() map[string]string
}

// Host is what a driver finds where it is opened.
type Host struct {
	Environ []string // NAME=VALUE each, as the process was started

	// Secret reads one of the settings' own secrets. A driver reads it for each call and keeps nothing: it may be
	// rotated too.
	Secret func(ctx context.Context, ref secret.Ref) (secret.Value, error)

	// Do sends req through the gate to the configured service that is named, as any caller's request: the gate puts the
	// service's credential onto it, puts its use on record, and keeps every secret out of the answer. Of req.URL path
	// and query count. Redirects are not followed. An error means that there is no answer of the API: the gate refused,
	// which wraps ErrRefused and carries its hint, or nobody knows whether the API has got the call. Who called closes
	// the answer's body.
	Do func(ctx context.Context, service string, req *http.Request) (*http.Response, error)
}
