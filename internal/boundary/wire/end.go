package wire

import (
	"errors"
	"net"
	"time"
)

// owes tells whether the body of the request with that number (see progress) is still on its way: not all of it was
// read from the socket. What has been read, and lies in a buffer between here and the reader, does not make anybody
// wait.
func (c *Conn) owes(request uint64) bool {
	now := c.progress.Load()
	return now&1 == 1 && now>>1 == request
}

// end makes the request that is being read the last one: from now on nothing is read, and a Read that waits for the
// caller returns. It is how a connection ends whose body was not read to its end, whatever anybody believes to know
// about keeping it.
func (c *Conn) end() {
	c.over.Store(true)
	_ = c.Conn.SetReadDeadline(longAgo()) // where that fails the connection is closed already
}

// SetReadDeadline implements net.Conn. net/http sets deadlines of its own; none of them may undo end.
func (c *Conn) SetReadDeadline(t time.Time) error {
	err := c.Conn.SetReadDeadline(t)
	if c.over.Load() {
		err = errors.Join(err, c.Conn.SetReadDeadline(longAgo()))
	}
	return err
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func longAgo() time.Time { return time.Unix(1, 0) }

// speaking is the connection as the caller speaks on it: without TLS, if it began without.
func (c *Conn) speaking() net.Conn {
	if clear := c.clear.Load(); clear != nil {
		return *clear
	}
	return c.Conn
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	return c.speaking().Write(p) //nolint:wrapcheck // net/http wants the connection's own errors
}

// CloseWrite ends the sending direction, where the connection can. net/http calls it before it closes on a caller who
// is still sending.
func (c *Conn) CloseWrite() error {
	if w, ok := c.speaking().(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// How much, and for how long, a caller is listened to whose request was answered before it was at its end.
const (
	lingerBytes = 16 << 20
	lingerIdle  = 500 * time.Millisecond // without a byte
	lingerTime  = 2 * time.Second        // in all
)

// Close implements net.Conn. After a refusal, and after a response to a request that was not at its end, it first reads
// what the caller is still sending: to close on unread bytes makes the caller's kernel throw the response away (RFC
// 9112 section 9.6). A second Close ends that at once.
func (c *Conn) Close() error {
	defer c.leave()
	if c.closing.CompareAndSwap(false, true) && c.unfinished() {
		c.linger()
	}
	return c.Conn.Close()
}

// unfinished tells whether the caller may still be sending a request that has its response.
func (c *Conn) unfinished() bool {
	return !c.rawMode.Load() && (c.Violation() != "" || c.over.Load())
}

func (c *Conn) linger() {
	if c.CloseWrite() != nil {
		return
	}
	bp := discarded.Get().(*[]byte) //nolint:errcheck,forcetypeassert // nothing else is in the pool
	defer discarded.Put(bp)
	until := time.Now().Add(lingerTime)
	for left := lingerBytes; left > 0; {
		now := time.Now()
		if !now.Before(until) || c.Conn.SetReadDeadline(earlier(now.Add(lingerIdle), until)) != nil {
			return
		}
		n, err := c.speaking().Read(*bp)
		if left -= n; err != nil {
			return
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
