// Package consent connects a service to an account at its provider: a person gives consent on a page of the provider,
// and the code that comes back becomes tokens on record (RFC 6749 section 4.1).
//
// The browser comes back to the command itself, on a port of its machine, or to the admin listener of the running gate.
// Either way a code is used once, by the flow that asked for it, and the tokens go nowhere but into the vault of
// derived tokens. Nothing here is on the way of a request: a connected service's token is the pool's like any other.
package consent

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
)

// patience is how long a person has to give consent.
const patience = 10 * time.Minute

// Options say how the browser comes back from the page of consent.
type Options struct {
	// as registered at the provider; "": one on a free port of this machine, or of the admin listener
	RedirectURL string
	Callback    bool // by the admin listener of the running gate; so does a RedirectURL that is not of this machine
}

// Consent is a page of consent that waits for a person. Await or Close ends it.
type Consent struct {
	URL         string
	RedirectURL string
	await       func(ctx context.Context) (*Connected, error)
	end         func() error
}

// Await waits until the person has given consent, and what came of it is on record and active.
func (c *Consent) Await(ctx context.Context) (*Connected, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("nobody gave consent within 10 minutes"))
	defer cancel()
	return c.await(ctx)
}

// Close ends a Consent that nobody awaits.
func (c *Consent) Close() error { return c.end() }

// Connected is what came of a consent.
type Connected struct {
	Service string    `json:"service"`
	Scopes  []string  `json:"scopes"`
	Expires time.Time `json:"expires"` // of the first token; it is refreshed before
}

// refused adds what a person can do.
func refused(err error) error {
	if _, ok := errors.AsType[*derive.RefusalError](err); ok {
		return fault.WithHint(err,
			"nothing has changed; `sallyport service connect` begins again, and the provider's documentation says "+
				"what the code means")
	}
	return err
}
