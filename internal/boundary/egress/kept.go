package egress

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// kept is a connection of HTTP/1.1, above TLS. While no request uses it, it ends itself in time: when it is older than
// age, so that new connections go to where the API's name points now, and before the API does, where that says how long
// it waits (Keep-Alive: timeout=5). A request that met a connection as the API closed it could not be sent again unless
// it is known that the API has not seen it.
type kept struct {
	net.Conn
	socket *socket   // beneath; nil: there is none that could tell anything
	until  time.Time // its greatest age; zero: none

	// turn is held by the request that uses it until [http.Transport] has returned. That gives the connection of an
	// answer without a body back before it hands over the response, and what the next request does to the connection
	// would take the answer away.
	turn sync.Mutex

	mu    sync.Mutex
	uses  int // how many requests it was given to
	state connState
	since time.Time     // unused since
	hint  time.Duration // how long the API keeps it, less a margin; negative: it does not say
	timer *time.Timer

	// a byte of the request that uses it may be on its way: set before it is, since a writer may be slow to tell
	begun   atomic.Bool
	written atomic.Int64 // bytes of that request that are known to be
	unsent  atomic.Bool  // writing ended without one
	over    atomic.Bool  // it ended before a byte of that request was written
	refused atomic.Bool  // the API's kernel took nothing of that request
}

type connState int

const (
	busy connState = iota
	idle
	dead
)

// ageSpread is the part of the greatest age by which ages differ, so that connections that began together do not end
// together.
const ageSpread = 10

// How long the fate of a request is waited for on a connection that has ended. The API's kernel needs a round trip to
// say it.
const (
	fateAfterEOF   = 500 * time.Millisecond
	fateAfterWrite = 20 * time.Millisecond // it has, and only the reading of it is under way
)

// keep makes conn, which came from beneath, one that is kept.
func keep(conn, beneath net.Conn, age time.Duration) *kept {
	k := &kept{Conn: conn, hint: -1}
	k.socket, _ = beneath.(*socket)
	if age > 0 {
		k.until = time.Now().Add(age - rand.N(age/ageSpread+1)) //nolint:gosec // no secret
	}
	return k
}

// Read implements net.Conn.
func (k *kept) Read(p []byte) (int, error) {
	n, err := k.Conn.Read(p)
	if err != nil {
		k.mu.Lock()
		over, again := k.state == idle || !k.begun.Load(), k.uses > 1
		if over {
			k.over.Store(true)
		}
		k.mu.Unlock()
		if !over && again && errors.Is(err, io.EOF) {
			k.ask(fateAfterEOF)
		}
	}
	return n, err
}

// ask finds out whether the API's kernel took anything of the request that met the end of the connection.
func (k *kept) ask(limit time.Duration) {
	if k.socket != nil && k.socket.refused(limit) {
		k.refused.Store(true)
	}
}

// Write implements net.Conn.
func (k *kept) Write(p []byte) (int, error) {
	k.begun.Store(true)
	n, err := k.Conn.Write(p)
	if k.written.Add(int64(n)) == 0 && err != nil {
		k.unsent.Store(true)
	}
	if err != nil && k.again() {
		k.ask(fateAfterWrite)
	}
	return n, err
}

// again tells whether the request that uses the connection is not its first.
func (k *kept) again() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.uses > 1
}

// take gives the connection to a request, which unlocks turn when it has its response. It returns which request that
// is.
func (k *kept) take() int {
	k.turn.Lock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.uses++; k.state == idle {
		k.state = busy
	}
	if k.uses > 1 {
		k.begun.Store(false)
		k.written.Store(0)
		k.unsent.Store(false)
		if k.socket != nil {
			k.socket.begin()
		}
	}
	if k.timer != nil {
		k.timer.Stop()
	}
	return k.uses
}

// leave takes the connection back from the request that use was for. The next one may have it already.
func (k *kept) leave(use int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.uses == use && k.state == busy {
		k.state, k.since = idle, time.Now()
		k.arm()
	}
}

// hinted notes what an answer's Keep-Alive header says (RFC 2068 section 19.7.1.1).
func (k *kept) hinted(header []string) {
	hint, ok := keepAlive(header)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hint = hint
	if k.state == idle { // a response without a body gives its connection back before anybody sees it
		k.arm()
	}
}

// arm sets the timer for the end of an idle connection; k.mu is held.
func (k *kept) arm() {
	end, limited := k.until, !k.until.IsZero()
	if by := k.since.Add(k.hint); k.hint >= 0 && (!limited || by.Before(end)) {
		end, limited = by, true
	}
	if !limited {
		return
	}
	left := max(0, time.Until(end))
	if k.timer == nil {
		k.timer = time.AfterFunc(left, k.expire)
	} else {
		k.timer.Reset(left)
	}
}

// expire ends the connection if nobody uses it.
func (k *kept) expire() {
	k.mu.Lock()
	end := k.until
	if by := k.since.Add(k.hint); k.hint >= 0 && (end.IsZero() || by.Before(end)) {
		end = by
	}
	ends := k.state == idle && !time.Now().Before(end)
	if ends {
		k.state = dead
	}
	k.mu.Unlock()
	if ends {
		_ = k.Close()
	}
}

// Close implements net.Conn.
func (k *kept) Close() error {
	k.mu.Lock()
	k.state = dead
	if k.timer != nil {
		k.timer.Stop()
	}
	k.mu.Unlock()
	return k.Conn.Close()
}

// keepAlive reads how long a server keeps an unused connection, less a margin for the way there: a second, or half of
// what is less than two.
func keepAlive(header []string) (time.Duration, bool) {
	for _, line := range header {
		for item := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(item, "=")
			if !strings.EqualFold(strings.Trim(name, " \t"), "timeout") {
				continue
			}
			seconds, err := strconv.ParseUint(strings.Trim(value, " \t\""), 10, 31)
			if err != nil {
				return 0, false
			}
			d := time.Duration(seconds) * time.Second
			return d - min(time.Second, d/2), true
		}
	}
	return 0, false
}

// Connected is the context of a request that wants to know of each connection that it is given, before anything is sent
// on it.
type Connected interface {
	Connected(info httptrace.GotConnInfo)
}

// use is one request's way over its connections.
type use struct {
	tell Connected   // nil: nobody wants to know
	base *generation // whose connections they are
	conn *kept       // the last one; nil: none, or one of HTTP/2
	n    int

	mu        sync.Mutex
	answering bool // base.answering is held
	ended     bool
}

func (u *use) trace(ctx context.Context) context.Context {
	u.tell, _ = ctx.(Connected)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: u.got, GotFirstResponseByte: u.answered,
		PutIdleConn: u.put,
	})
}

func (u *use) got(info httptrace.GotConnInfo) {
	u.leaveTurn() // of a connection that had ended
	if u.conn, _ = info.Conn.(*kept); u.conn != nil {
		u.n = u.conn.take()
	}
	if u.tell != nil {
		u.tell.Connected(info)
	}
}

// answered is called by the goroutine that reads the connection, which may be late: the request may have been given up.
func (u *use) answered() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ended && !u.answering {
		u.base.answering.RLock()
		u.answering = true
	}
}

// end is called when http.Transport has returned.
func (u *use) end() {
	u.leaveTurn()
	u.mu.Lock()
	answering := u.answering
	u.ended, u.answering = true, false
	u.mu.Unlock()
	if answering {
		u.base.answering.RUnlock()
		u.base.closeWanted()
	}
}

func (u *use) leaveTurn() {
	if u.conn != nil {
		u.conn.turn.Unlock()
	}
}

func (u *use) put(err error) {
	if err == nil && u.conn != nil {
		u.conn.leave(u.n)
	}
}

// untouched tells whether the API cannot have seen anything of a request that failed: it was given a connection that
// had been used before, and that ended before a byte of the request was written, or before the API's kernel took one.
func (u *use) untouched() bool {
	return u.conn != nil && u.n > 1 && u.conn.untouched()
}

func (k *kept) untouched() bool {
	return !k.begun.Load() || k.unsent.Load() || k.over.Load() || k.refused.Load()
}

// unprocessedError marks the failure of a request of which the API has seen nothing.
type unprocessedError struct{ error }

func (e *unprocessedError) Unwrap() error { return e.error }

// Unprocessed tells whether an error of [Transport.RoundTrip] says that the API has seen nothing of the request,
// whatever its method, because the connection that was kept for it had ended. It may be sent again, on another one.
func Unprocessed(err error) bool {
	_, ok := errors.AsType[*unprocessedError](err)
	return ok
}

// generation is what http.Transport keeps of connections. One of HTTP/2 takes new requests for ever and cannot be told
// to stop: there a new generation begins instead, and the one before ends with its last request.
type generation struct {
	base   *http.Transport
	born   time.Time
	before atomic.Pointer[generation] // nil: there was none, or it has been told to end

	// answering is held for reading from a response's first byte until it is handed over. In between its connection may
	// be unused for http.Transport, and to close that would take the answer away.
	answering sync.RWMutex
	closing   atomic.Bool // the unused connections are to be closed as soon as nobody holds answering
}

// closeIdle closes the connections that no request uses, at once or when the responses that arrive just now are handed
// over.
func (g *generation) closeIdle() {
	g.closing.Store(true)
	g.closeWanted()
}

func (g *generation) closeWanted() {
	for g.closing.Load() && g.answering.TryLock() {
		g.closing.Store(false)
		g.base.CloseIdleConnections()
		g.answering.Unlock()
	}
}

// current is what the next request goes through.
func (t *Transport) current() *generation {
	g := t.generation.Load()
	if t.renew == nil || time.Since(g.born) < t.age {
		return g
	}
	next := &generation{base: t.renew(), born: time.Now()}
	next.before.Store(g)
	if !t.generation.CompareAndSwap(g, next) {
		return t.generation.Load()
	}
	if before := g.before.Swap(nil); before != nil {
		before.closeIdle()
	}
	g.closeIdle() // what is in use ends with its last request, after Options.Idle
	return next
}
