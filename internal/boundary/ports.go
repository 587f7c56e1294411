package boundary

import (
	"context"
	"log/slog"
	"net/http"
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

// Tracer makes traces of requests with a valid token. Its methods, and those of a Trace, are called on the hot path and
// must not block.
type Tracer interface {
	// Begin continues the trace that the caller names in the values of traceparent and tracestate, which may be
	// anything, or begins one.
	Begin(at time.Time, parent, state []string) Trace
}

// Trace is that of one request. It is used by one goroutine at a time.
type Trace interface {
	// ID is the trace's id, 32 hexadecimal digits. sampled: it is exported.
	ID() (id string, sampled bool)
	// Waited tells that the request has waited for its credential.
	Waited(from, to time.Time)
	// Call begins a call to the API, whose URL begins with base, and sets in its header what continues the trace there.
	Call(at time.Time, base string, to http.Header)
	// Called ends the call. status is 0 where there was no response; code says why.
	Called(at time.Time, status int, code fault.Code)
	// End ends the trace. What ev says is masked by then.
	End(ev *audit.Event)
}

// Outcome is what became of one request, for metrics.
type Outcome struct {
	Trace    string // id of its trace, where that is exported
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
	Tracer     Tracer // nil: no traces
	Log        *slog.Logger
	InFlight   int64         // requests at once; 0 is no limit
	PerToken   int64         // requests at once with one token; 0 is no limit
	PerService int64         // requests at once to one service without a limit of its own; 0 is no limit
	Kept       *spool.Budget // of the request bodies that may have to be sent again, or are signed; nil is the default
	Now        func() time.Time
}
