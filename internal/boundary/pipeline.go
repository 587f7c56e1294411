// Package boundary is the way of a request: the one pipeline that every way in hands over to.
//
// authenticate → route → authorise → resolve → record → inject → dial → scrub → record. Steps 1 to 4 (decide) are
// functions over a View; steps 5 to 8 (Handle) move bytes. The ways in parse and hand over: they have no checks of
// their own. Tokens, services and credentials are in memory; nothing here touches a database or a store.
//
// Invariant: no credential is on a request before decide has returned without a fault, and has written its record.
package boundary

import (
	"sync/atomic"

	"sallyport/internal/boundary/held"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/spool"
	"sallyport/internal/fault"
)

// Pipeline is the one function every request goes through. It is safe for concurrent use.
type Pipeline struct {
	o        Options
	ids      *idGenerator
	config   atomic.Pointer[configuration]
	inFlight atomic.Int64
	shares   shares
	draining atomic.Bool
	sealed   atomic.Pointer[fault.Fault]
	watches  *watches
	live     live

	noUpgrades atomic.Bool

	held held.Memory // the secrets of all services, for what is recorded
}

// New returns a Pipeline without services.
func New(o Options) *Pipeline {
	if o.Kept == nil {
		o.Kept = spool.NewBudget(0, 0)
	}
	p := &Pipeline{
		o: o, ids: newIDGenerator(), watches: newWatches(),
		shares: shares{perToken: o.PerToken, perService: o.PerService},
	}
	p.config.Store(&configuration{Configuration: Configuration{Services: service.NewTable(nil)}})
	return p
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
