package boundary

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/fault"
)

// live is the exchanges that have a credential and are not through: what a revocation, an expiry, or another
// configuration has to end. Taking part costs a request two turns of a lock that it shares with one in sixteen others.
type live struct {
	shards [16]shard
	epoch  atomic.Uint64 // goes up before each Recheck
}

type shard struct {
	mu    sync.Mutex
	first *exchange
	_     [40]byte // a cache line each
}

// entry is an exchange's part in live. What is not atomic is guarded by the shard's lock.
type entry struct {
	liveContext
	shard      *shard
	prev, next *exchange
	epoch      uint64 // when the request was decided about
	writer     http.ResponseWriter
	request    io.Closer                   // its body; nil: none
	conn       net.Conn                    // of an upgraded connection; else nil
	phase      atomic.Uint32               // how much of an answer there is
	ended      atomic.Pointer[fault.Fault] // why the exchange was ended
}

// The phases of an exchange, of which one leads to the next.
const (
	unanswered = iota // nothing is on its way: who ends the exchange can be answered for
	leaving           // a head, or a whole small answer, is there and on its way to the caller, who gets all of it
	streaming         // the head is with the caller, and the rest can only be broken off
	refused           // the answer is why the exchange was ended, and no other
)

// leavingTime is how long a caller may take for what is leaving when the exchange is ended.
const leavingTime = time.Second

// liveContext is the context of an exchange. Package egress ends it when the API is silent for too long.
type liveContext struct {
	context.Context //nolint:containedctx // it is one
	cancel          context.CancelCauseFunc
}

// CancelCause ends the context.
func (c *liveContext) CancelCause(cause error) { c.cancel(cause) }

// register makes x one of those that Recheck looks at.
func (p *Pipeline) register(w http.ResponseWriter, r *http.Request, x *exchange) {
	x.Context, x.cancel = context.WithCancelCause(r.Context())
	x.writer = w
	if x.body != nil {
		x.request = r.Body
	}
	s := &p.live.shards[rand.Uint32()%uint32(len(p.live.shards))] //nolint:gosec // which one is no secret
	x.shard = s
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.next = s.first; x.next != nil {
		x.next.prev = x
	}
	s.first = x
	if p.live.epoch.Load() != x.epoch { // what has changed since the decision saw x nowhere
		p.recheck(x)
	}
}

// unregister is the end of register. Nothing ends x any more when it returns.
func (p *Pipeline) unregister(x *exchange) {
	s := x.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		s.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	}
	x.cancel(nil)
}

// Recheck decides about every exchange under way once more, and ends those that would be refused now: streams, uploads
// and upgraded connections among them. Call it when tokens have changed; Route does. When it returns, they are ending.
func (p *Pipeline) Recheck() {
	p.live.epoch.Add(1)
	p.each(p.recheck)
}

// RecheckOld is Recheck for exchanges older than age: an expiry changes nothing that anybody would tell of.
func (p *Pipeline) RecheckOld(age time.Duration) {
	before := p.o.Now().Add(-age)
	p.each(func(x *exchange) {
		if x.started.Before(before) {
			p.recheck(x)
		}
	})
}

// EndAll ends every exchange under way by f.
func (p *Pipeline) EndAll(f *fault.Fault) {
	p.each(func(x *exchange) { x.end(f) })
}

func (p *Pipeline) each(do func(*exchange)) {
	for i := range p.live.shards {
		s := &p.live.shards[i]
		s.mu.Lock()
		for x := s.first; x != nil; x = x.next {
			do(x)
		}
		s.mu.Unlock()
	}
}

// recheck is called with the lock of x's shard held.
func (p *Pipeline) recheck(x *exchange) {
	if x.ended.Load() != nil {
		return
	}
	if f := p.still(x); f != nil {
		x.end(f)
	}
}

// still is steps 1 and 2 once more, without their side effects.
func (p *Pipeline) still(x *exchange) *fault.Fault {
	g, f := p.o.Tokens.Verify(x.presented)
	if f != nil {
		if x.inSlot {
			f = f.InSlot()
		}
		return f
	}
	c := p.config.Load()
	svc, known := c.Services.Lookup(x.view.Service)
	if !known {
		return fault.New(fault.ServiceUnknown, "the service was taken out of the configuration")
	}
	if _, f = Authorise(c.Scopes.Of(g), svc, x.view); f == nil && c.next != nil {
		_, f = c.next.refuses("", g, x.view)
	}
	if f == nil && x.unseen.Load() {
		f = unseenBody(c, g, x.view)
	}
	return f
}

// end breaks x off: it is called with the lock of x's shard held, and does not wait. Where no part of the answer is on
// its way yet, the caller is told why; a head that is there arrives, and a small answer as a whole.
func (x *exchange) end(f *fault.Fault) {
	if !x.ended.CompareAndSwap(nil, f) {
		return
	}
	x.cancel(f)
	if x.request != nil {
		_ = x.request.Close()
	}
	if !x.phase.CompareAndSwap(unanswered, refused) { // the caller may not be reading
		until := time.Unix(1, 0)
		if x.phase.Load() == leaving {
			until = time.Now().Add(leavingTime)
		}
		_ = http.NewResponseController(x.writer).SetWriteDeadline(until)
	}
	if x.conn != nil {
		breakOff(x.conn)
	}
}

// leave is called before the head of an answer is written, which it refuses when x was ended: then that is the answer.
func (x *exchange) leave() error {
	if x.phase.CompareAndSwap(unanswered, leaving) {
		return nil
	}
	return x.whyEnded()
}

// stream is called when the head is with the caller, and more follows. It refuses when x was ended in the meantime.
func (x *exchange) stream() error {
	x.phase.Store(streaming)
	return x.whyEnded()
}

// whyEnded is nil for an exchange that was not ended. Ask it after the phase: end sets the reason before it looks at
// the phase, so that a reason that is asked for first may be missed.
func (x *exchange) whyEnded() error {
	if f := x.ended.Load(); f != nil {
		return f
	}
	return nil
}

// arrived tells whether x was ended when all of its answer was on its way, and has arrived. The connection has no
// deadline any more then: it may carry another request.
func (x *exchange) arrived() bool {
	if x.phase.Load() != leaving {
		return false
	}
	_ = http.NewResponseController(x.writer).SetWriteDeadline(time.Time{})
	return true
}

// breakOff wakes up whoever reads or writes conn, and leaves the closing to the exchange that it belongs to: to close
// TLS may take a while.
func breakOff(conn net.Conn) { _ = conn.SetDeadline(time.Unix(1, 0)) }

// upgraded makes conn what ends x from now on. It refuses when x was ended in the meantime.
func (x *exchange) upgraded(conn net.Conn) error {
	x.shard.mu.Lock()
	defer x.shard.mu.Unlock()
	x.conn = conn
	return x.stream()
}
