package wire

import (
	"cmp"
	"container/list"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limit bounds the connections of a listener. A connection is proven once a request on it had a valid token; before
// that, it counts against its source: an IPv4 address or an IPv6 /64. So a fleet behind one address is not counted once
// it has proven itself.
//
// At a limit the newest connection wins: the oldest unproven one of the source that has the most of them is closed, and
// where none is unproven, the one that is idle longest. A proven connection that is in a request, or upgraded, is never
// closed; where there is no other, the new one is.
type Limit struct {
	Total     int // connections at one time; 0: no limit
	PerSource int // unproven ones at one time of one source; 0: no limit
	Log       *slog.Logger
	Hint      string           // of the warning, what to do; "": the settings of the gateway
	Closed    func(why string) // counts what was closed: source, total or refused; nil: nobody does
}

// register holds the connections of one listener. Its lock is taken when a connection opens, is proven, and closes:
// never for each request.
type register struct {
	Limit

	mu       sync.Mutex
	count    int
	unproven map[netip.Prefix]*list.List // of *Conn, the oldest first
	proven   map[*Conn]struct{}
	warned   time.Time
	silent   int // closed since then
}

// entry is where a Conn stands in its register. All but idle is under the register's lock.
type entry struct {
	in     *register
	source netip.Prefix
	at     *list.Element // in unproven; nil once proven
	gone   bool
}

func newRegister(l Limit) *register {
	return &register{Limit: l, unproven: make(map[netip.Prefix]*list.List), proven: make(map[*Conn]struct{})}
}

// add takes c in and closes whom it takes the place of. It reports false when there is no place for c.
func (r *register) add(c *Conn) bool {
	r.mu.Lock()
	source, why := sourceOf(c.RemoteAddr()), ""
	var victim *Conn
	switch own := r.unproven[source]; {
	case r.PerSource > 0 && own != nil && own.Len() >= r.PerSource:
		why, victim = "source", oldest(own, true)
	case r.Total > 0 && r.count >= r.Total:
		if why, victim = "total", r.victim(); victim == nil {
			why = "refused"
		}
	}
	if victim != nil {
		r.drop(victim)
	}
	taken := why != "refused"
	if taken {
		own := r.unproven[source]
		if own == nil {
			own = list.New()
			r.unproven[source] = own
		}
		c.place = entry{in: r, source: source, at: own.PushBack(c)}
		r.count++
	}
	warn := 0
	if why != "" {
		warn = r.complain(time.Now())
	}
	r.mu.Unlock()

	if victim != nil {
		victim.abandon()
	}
	if why != "" && r.Closed != nil {
		r.Closed(why)
	}
	if warn > 0 && r.Log != nil {
		r.Log.Warn("connections are closed: there are as many as allowed", "limit", why, "source", source.Addr(),
			"since_the_last_warning", warn,
			"hint", cmp.Or(r.Hint, "`limits.connections` and `limits.connections_per_source` set how many"))
	}
	return taken
}

// complain returns how many closings the warning that is due now stands for, or 0.
func (r *register) complain(now time.Time) int {
	if r.silent++; !r.warned.IsZero() && now.Sub(r.warned) < warnEvery {
		return 0
	}
	n := r.silent
	r.warned, r.silent = now, 0
	return n
}

// victim is who goes when there are too many in all.
func (r *register) victim() *Conn {
	var most *list.List
	for _, own := range r.unproven {
		if most == nil || own.Len() > most.Len() {
			most = own
		}
	}
	if most != nil {
		if c := oldest(most, false); c != nil {
			return c
		}
	}
	var longest *Conn
	var since int64
	for c := range r.proven {
		if at := c.idle.Load(); at != 0 && (longest == nil || at < since) {
			longest, since = c, at
		}
	}
	if longest == nil && most != nil {
		return oldest(most, true)
	}
	return longest
}

// oldest is the oldest connection of a source that is not in a request. Where all are, and busy says so, it is the
// oldest: a request on an unproven connection is on its way to be refused, and a caller who does not read must not hold
// a place with it.
func oldest(own *list.List, busy bool) *Conn {
	for e := own.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*Conn); c.idle.Load() != 0 { //nolint:errcheck,forcetypeassert // nothing else is in it
			return c
		}
	}
	if !busy {
		return nil
	}
	return own.Front().Value.(*Conn) //nolint:errcheck,forcetypeassert // nothing else is in it
}

// drop takes c out, under the lock.
func (r *register) drop(c *Conn) {
	if c.place.gone {
		return
	}
	c.place.gone = true
	r.count--
	r.unlist(c)
	delete(r.proven, c)
}

// unlist takes c out of the unproven ones of its source.
func (r *register) unlist(c *Conn) {
	if c.place.at == nil {
		return
	}
	own := r.unproven[c.place.source]
	if own.Remove(c.place.at); own.Len() == 0 {
		delete(r.unproven, c.place.source)
	}
	c.place.at = nil
}

// Prove marks the connection as one of a caller with a valid token. Only the first call on a connection does more than
// look.
func (c *Conn) Prove() {
	r := c.place.in
	if r == nil || c.isProven.Load() || !c.isProven.CompareAndSwap(false, true) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !c.place.gone {
		r.unlist(c)
		r.proven[c] = struct{}{}
	}
}

// leave gives the place back.
func (c *Conn) leave() {
	if r := c.place.in; r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.drop(c)
	}
}

// abandon closes the socket under c at once: without TLS's goodbye, which can wait for the caller, and without reading
// on.
func (c *Conn) abandon() {
	c.closing.Store(true)
	if t, ok := c.Conn.(*tls.Conn); ok {
		_ = t.NetConn().Close()
		return
	}
	_ = c.Conn.Close()
}

// ConnState is for http.Server.ConnState: it tells which connections are in a request.
func ConnState(nc net.Conn, s http.ConnState) {
	c, ok := nc.(*Conn)
	if !ok {
		return
	}
	switch s {
	case http.StateActive, http.StateHijacked:
		c.idle.Store(0)
	case http.StateIdle:
		c.idle.Store(time.Now().UnixNano())
	case http.StateNew, http.StateClosed:
	}
}

func sourceOf(a net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	bits, addr := 32, ap.Addr().Unmap().WithZone("")
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}
