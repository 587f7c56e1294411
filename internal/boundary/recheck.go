package boundary

import (
	"context"
	"net/http"
	"time"

	"sallyport/internal/fault"
)

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

// register makes x one of those that Recheck looks at.
func (p *Pipeline) register(w http.ResponseWriter, r *http.Request, x *exchange) {
	x.Context, x.cancel = context.WithCancelCause(r.Context())
	x.writer = w
	if x.body != nil {
		x.request = r.Body
	}
	x.decided = &x.decision
	p.live.register(&x.entry, p.recheck)
}

// Recheck decides about every exchange under way once more, and ends those that would be refused now: streams, uploads
// and upgraded connections among them. Call it when tokens have changed; Route does. When it returns, they are ending.
func (p *Pipeline) Recheck() {
	p.live.epoch.Add(1)
	p.live.each(p.recheck)
}

// RecheckOld is Recheck for exchanges older than age: an expiry changes nothing that anybody would tell of.
func (p *Pipeline) RecheckOld(age time.Duration) {
	before := p.o.Now().Add(-age)
	p.live.each(func(e *entry) {
		if e.started.Before(before) {
			p.recheck(e)
		}
	})
}

// EndAll ends every exchange under way by f.
func (p *Pipeline) EndAll(f *fault.Fault) {
	p.live.each(func(e *entry) { e.end(f) })
}

// recheck is called with the lock of e's shard held.
func (p *Pipeline) recheck(e *entry) {
	if e.ended.Load() != nil {
		return
	}
	if f := p.still(e); f != nil {
		e.end(f)
	}
}

// still is steps 1 and 2 once more, without their side effects.
func (p *Pipeline) still(e *entry) *fault.Fault {
	d := e.decided
	g, f := p.o.Tokens.Verify(d.presented)
	if f != nil {
		if d.inSlot {
			f = f.InSlot()
		}
		return f
	}
	c := p.config.Load()
	svc, known := c.Services.Lookup(d.view.Service)
	if !known {
		return fault.New(fault.ServiceUnknown, "the service was taken out of the configuration")
	}
	if _, f = Authorise(c.Scopes.Of(g), svc, d.view); f == nil && c.next != nil {
		_, f = c.next.refuses("", g, d.view)
	}
	if f == nil && e.unseen.Load() { // after the configuration: bodyGuard sets the mark, and looks at that again
		f = unseenBody(c, g, d.view)
	}
	return f
}
