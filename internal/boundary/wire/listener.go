package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// Options are how a listener reads its connections.
type Options struct {
	MaxHead     int           // of a request head, in bytes; 0 is DefaultMaxHead
	HeadTimeout time.Duration // from the connection to the end of its first head, a TLS handshake included; 0: none
	TLS         *tls.Config   // nil: plain HTTP
	Limit       Limit
	ErrorLog    *log.Logger // gets what goes wrong before there is a request, see ErrorLog; nil: nobody does
}

// Listen wraps every accepted connection of l, which is plain TCP. Accept returns a Conn once its first request head is
// there, or what stands in for it; until then it holds no more than its goroutine and what it has sent, and none of a
// server's buffers.
func Listen(l net.Listener, o Options) net.Listener {
	if o.ErrorLog == nil {
		o.ErrorLog = log.New(io.Discard, "", 0)
	}
	return &listener{
		Listener: l, o: o, register: newRegister(o.Limit),
		ready: make(chan accepted), closed: make(chan struct{}), waiting: make(map[*Conn]struct{}),
	}
}

type listener struct {
	net.Listener
	o        Options
	register *register
	ready    chan accepted
	closed   chan struct{}
	begin    sync.Once
	running  guard.Group

	mu      sync.Mutex
	waiting map[*Conn]struct{} // for their first head; nil once the listener is closed
}

type accepted struct {
	conn net.Conn
	err  error
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.begin.Do(l.start)
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It ends the connections that have not sent a head yet, and waits for all that was
// begun.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	waiting, first := l.waiting, l.waiting != nil
	l.waiting = nil
	l.mu.Unlock()
	if first {
		close(l.closed)
	}
	for c := range waiting {
		c.abandon()
	}
	l.running.Wait()
	return err
}

// start has connections accepted, unless the listener is closed already: Close waits for what was begun before it. A
// panic there is an error of Accept, which ends the server.
func (l *listener) start() {
	const accepting = "accepting connections"
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		return
	}
	l.running.Go(accepting, func() {
		if why := guard.Call(accepting, l.accept); why != nil {
			l.pass(accepted{err: why})
		}
	})
}

// attend begins what is done about a connection. A panic there ends that connection, and is told of like one of
// net/http.
func (l *listener) attend(c *Conn, do func(*Conn)) {
	const reading = "reading the first request of a connection"
	l.running.Go(reading, func() {
		why := guard.Call(reading, func() { do(c) })
		if why == nil {
			return
		}
		l.broke(c, why)
		l.drop(c)
	})
}

func (l *listener) broke(c *Conn, why *fault.Panic) {
	l.o.ErrorLog.Printf(panicComplaint+"%s: %v\n\t%s", c.RemoteAddr(), why, strings.ReplaceAll(why.Stack, " ", "\n\t"))
}

// accept takes in what comes. An error, such as of a process without descriptors, goes to whoever calls Accept, who
// decides when to go on.
func (l *listener) accept() {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if !l.pass(accepted{err: err}) || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		if l.o.TLS != nil {
			nc = tls.Server(nc, l.o.TLS)
		}
		c := NewConn(nc, l.o.MaxHead)
		c.idle.Store(time.Now().UnixNano())
		if !l.register.add(c) {
			c.abandon()
			continue
		}
		if l.keep(c) {
			l.attend(c, l.greet)
		} else {
			c.discard()
		}
	}
}

// pass hands over to Accept, or reports that there will be none any more.
func (l *listener) pass(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.closed:
		return false
	}
}

// keep lists a connection that waits for its first head.
func (l *listener) keep(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		return false
	}
	l.waiting[c] = struct{}{}
	return true
}

func (l *listener) forget(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, c)
}

// greet gives a connection its time, and makes the TLS handshake. What follows has a goroutine of its own: a handshake
// needs a large stack, and a connection that waits should not hold it.
func (l *listener) greet(c *Conn) {
	if l.o.HeadTimeout > 0 && c.SetDeadline(time.Now().Add(l.o.HeadTimeout)) != nil {
		l.drop(c)
		return
	}
	if err := c.handshake(); err != nil {
		if why, ok := errors.AsType[*fault.Panic](err); ok {
			l.broke(c, why)
		} else if ofTLS(err) {
			l.o.ErrorLog.Printf(tlsComplaint+"%s: %v", c.RemoteAddr(), err)
		}
		l.drop(c)
		return
	}
	l.attend(c, l.head)
}

// head waits for the first head.
func (l *listener) head(c *Conn) {
	if c.firstHead() != nil || l.o.HeadTimeout > 0 && c.SetDeadline(time.Time{}) != nil {
		l.drop(c)
		return
	}
	l.forget(c)
	if !l.pass(accepted{conn: c}) {
		c.discard()
	}
}

func (l *listener) drop(c *Conn) {
	l.forget(c)
	c.discard()
}

// discard ends a connection on which there is nothing to answer.
func (c *Conn) discard() {
	c.abandon()
	c.leave()
}

// handshake makes the TLS handshake, if this is TLS. A caller who speaks plain HTTP gets the stand-in request, and its
// answer in clear: a client that is told nothing but "wrong version number" has to guess.
func (c *Conn) handshake() (err error) {
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fault.Panicked("making a TLS handshake", v)
		}
	}()
	err = t.Handshake() //nolint:noctx // the deadline bounds it, and Close ends it
	if odd, ok := errors.AsType[tls.RecordHeaderError](err); ok && odd.Conn != nil {
		c.clear.Store(&odd.Conn)
		if isToken(odd.RecordHeader[:1]) {
			c.refuse("it came in plain HTTP, and this address speaks TLS; the URL has to begin with https://")
		} else {
			c.refuse("what came is neither TLS, which this address speaks, nor HTTP")
		}
		return nil
	}
	return err
}

// ofTLS tells a handshake that failed from a connection that ended during one, as a probe's does.
func ofTLS(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op == "remote error" || op.Op == "local error" // crypto/tls's, for alerts
	}
	return !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// firstHead reads until the first head is judged.
func (c *Conn) firstHead() (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.standInAfter(fault.Panicked("reading a request", v))
		}
	}()
	for len(c.ready) == 0 {
		if c.judge() {
			continue
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
	return nil
}
