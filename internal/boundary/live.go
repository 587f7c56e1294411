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
	first *entry
	_     [40]byte // a cache line each
}

// entry is an exchange's part in live. What is not atomic is written before register, or guarded by the shard's lock.
type entry struct {
	liveContext
	shard      *shard
	prev, next *entry
	started    time.Time // when the request came
	epoch      uint64    // when it was decided about
	decided    *decision // what is decided again
	writer     http.ResponseWriter
	request    io.Closer                   // its body; nil: none
	conn       net.Conn                    // of an upgraded connection; else nil
	phase      atomic.Uint32               // how much of a response there is
	ended      atomic.Pointer[fault.Fault] // why the exchange was ended
	// the body is on its way, and nobody looks at it for another method: every one is permitted
	unseen atomic.Bool
}

// The phases of an exchange, of which one leads to the next.
const (
	unanswered = iota // nothing is on its way: who ends the exchange can be answered for
	leaving           // a head, or a whole small response, is there and on its way to the caller, who gets all of it
	streaming         // the head is with the caller, and the rest can only be broken off
	refused           // the response is why the exchange was ended, and no other
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

// register makes e one of those that each goes over, and gives it to recheck if the epoch is another one since the
// decision: what has changed then saw e nowhere.
func (l *live) register(e *entry, recheck func(*entry)) {
	s := &l.shards[rand.Uint32()%uint32(len(l.shards))] //nolint:gosec // which one is no secret
	e.shard = s
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.next = s.first; e.next != nil {
		e.next.prev = e
	}
	s.first = e
	if l.epoch.Load() != e.epoch {
		recheck(e)
	}
}

// unregister is the end of register. Nothing ends e any more when it returns.
func (e *entry) unregister() {
	s := e.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		s.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.cancel(nil)
}

// each calls do for every entry, with its shard's lock held.
func (l *live) each(do func(*entry)) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for e := s.first; e != nil; e = e.next {
			do(e)
		}
		s.mu.Unlock()
	}
}

// end breaks the exchange off: it is called with the lock of its shard held, and does not wait. Where no part of the
// response is on its way yet, the caller is told why; a head that is there arrives, and a small response as a whole.
func (e *entry) end(f *fault.Fault) {
	if !e.ended.CompareAndSwap(nil, f) {
		return
	}
	e.cancel(f)
	if e.request != nil {
		_ = e.request.Close()
	}
	if !e.phase.CompareAndSwap(unanswered, refused) { // the caller may not be reading
		until := time.Unix(1, 0)
		if e.phase.Load() == leaving {
			until = time.Now().Add(leavingTime)
		}
		_ = http.NewResponseController(e.writer).SetWriteDeadline(until)
	}
	if e.conn != nil {
		breakOff(e.conn)
	}
}

// leave is called before the head of a response is written, which it refuses when the exchange was ended: then that is
// the response.
func (e *entry) leave() error {
	if e.phase.CompareAndSwap(unanswered, leaving) {
		return nil
	}
	return e.whyEnded()
}

// stream is called when the head is with the caller, and more follows. It refuses when the exchange was ended in the
// meantime.
func (e *entry) stream() error {
	e.phase.Store(streaming)
	return e.whyEnded()
}

// whyEnded is nil for an exchange that was not ended. Ask it after the phase: end sets the reason before it looks at
// the phase, so that a reason that is asked for first may be missed.
func (e *entry) whyEnded() error {
	if f := e.ended.Load(); f != nil {
		return f
	}
	return nil
}

// arrived tells whether the exchange was ended when all of its response was on its way, and has arrived. The connection
// has no deadline any more then: it may carry another request.
func (e *entry) arrived() bool {
	if e.phase.Load() != leaving {
		return false
	}
	_ = http.NewResponseController(e.writer).SetWriteDeadline(time.Time{})
	return true
}

// breakOff wakes up whoever reads or writes conn, and leaves the closing to the exchange that it belongs to: to close
// TLS may take a while.
func breakOff(conn net.Conn) { _ = conn.SetDeadline(time.Unix(1, 0)) }

// upgraded makes conn what end breaks off from now on. It refuses when the exchange was ended in the meantime.
func (e *entry) upgraded(conn net.Conn) error {
	e.shard.mu.Lock()
	defer e.shard.mu.Unlock()
	e.conn = conn
	return e.stream()
}
