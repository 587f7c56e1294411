package boundary

import (
	"context"
	"log/slog"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/spool"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// Tokens verifies proxy tokens from memory, in constant time.
type Tokens interface {
	Verify(presented string) (*token.Grant, *fault.Fault)
	Touch(g *token.Grant, workflow string, at time.Time)
}

// Audit is the log that a use must be in before it happens.
type Audit interface {
	Authorise(ctx context.Context, ev *audit.Event) error
	Complete(ev *audit.Event)
	Refuse(ev *audit.Event)
}

// Observer counts. Its methods are called on the hot path and must not block.
type Observer interface {
	Started(service string)
	Finished(o *Outcome)
	Panicked() // once for each panic that was recovered; never on the hot path
}

// Outcome is what became of one request, for metrics.
type Outcome struct {
	Service  string // "" when no service was found
	Code     fault.Code
	Status   int
	Gate     time.Duration
	Upstream time.Duration
	BytesIn  int64
	BytesOut int64
	Scrubbed int

	Renewed   bool // the API said that the credential had expired, and there is a newer one
	Replayed  bool // the request was sent once more, with that or to answer a challenge
	NotResent bool // the API said that the credential had expired, and the request could not be sent once more
}

// Options are what a Pipeline needs.
type Options struct {
	Tokens     Tokens
	Audit      Audit
	Observer   Observer
	Log        *slog.Logger
	InFlight   int64         // requests at once; 0 is no limit
	PerToken   int64         // requests at once with one token; 0 is no limit
	PerService int64         // requests at once to one service without a limit of its own; 0 is no limit
	Kept       *spool.Budget // of the request bodies that may have to be sent again, or are signed; nil is the default
	Now        func() time.Time
}
