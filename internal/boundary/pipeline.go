// Package boundary is the way of a request: the one pipeline that every way in hands over to.
//
// authenticate → route → authorise → resolve → record → inject → dial → scrub → record. Steps 1 to 4 (decide) are
// functions over a View; steps 5 to 8 (Handle) move bytes. The ways in parse and hand over: they have no checks of
// their own. Tokens, services and credentials are in memory; nothing here touches a database or a store.
//
// Invariant: no credential is on a request before decide has returned without a fault, and has written its record.
package boundary

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/service"
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

// Pipeline is the one function every request goes through. It is safe for concurrent use.
type Pipeline struct {
	o        Options
	ids      *idGenerator
	config   atomic.Pointer[configuration]
	inFlight atomic.Int64
	byToken  shares
	draining atomic.Bool
	sealed   atomic.Pointer[fault.Fault]
	watches  *watches
	live     live

	noUpgrades atomic.Bool

	remembered remembered // the secrets of all services, for what is recorded
}

// New returns a Pipeline without services.
func New(o Options) *Pipeline {
	if o.Kept == nil {
		o.Kept = spool.NewBudget(0, 0)
	}
	p := &Pipeline{o: o, ids: newIDGenerator(), watches: newWatches()}
	p.Route(Configuration{Services: service.NewTable(nil)})
	return p
}

// Configuration is all of the configuration that decides about a request. It is immutable, and a request loads it once:
// at every instant, one whole configuration decides.
type Configuration struct {
	Services *service.Table
	Scopes   *token.Scopes // of tokens; nil: each has the one that it was issued with
}

// configuration is the active one, and the one that will be, which can only refuse until then.
type configuration struct {
	Configuration

	next *Configuration // nil: none is on its way
}

// Route makes c active for requests that come from now on, and ends those under way that it does not permit. Calls of
// Route and Restrict do not overlap.
func (p *Pipeline) Route(c Configuration) {
	p.config.Store(&configuration{Configuration: c})
	p.Recheck()
}

// Restrict lets next refuse, until Route or Restrict(nil), what it does not permit either, and ends what is under way
// of that: what it tightens does not wait until its credentials are loaded. What it permits and the active one does not
// stays refused.
func (p *Pipeline) Restrict(next *Configuration) {
	p.config.Store(&configuration{Configuration: p.config.Load().Configuration, next: next})
	p.Recheck()
}

// Services returns the active table.
func (p *Pipeline) Services() *service.Table { return p.config.Load().Services }

// Seal makes the pipeline answer everything with f, before any token is looked at.
func (p *Pipeline) Seal(f *fault.Fault) { p.sealed.Store(f) }

// Drain makes the pipeline answer new requests with the fault Draining.
func (p *Pipeline) Drain() { p.draining.Store(true) }

// Draining tells whether Drain was called.
func (p *Pipeline) Draining() bool { return p.draining.Load() }

// InFlight is the number of requests that are being served.
func (p *Pipeline) InFlight() int64 { return p.inFlight.Load() }
