// Package wire makes HTTP/1.1 framing unambiguous before any other parser sees it, and holds the one rule of when a
// connection goes on.
//
// A Conn sits between the socket and net/http. It reads each request head whole, refuses everything RFC 9112 lets two
// parsers understand differently (Content-Length beside Transfer-Encoding, obs-fold, bare CR or LF, doubled Host,
// absolute-form targets, chunk extensions, …), and follows the body so that it knows where the next head begins. It is
// stricter than net/http and never more lenient, and it decides nothing about tokens, services or policy.
//
// A Body is a request's body on its way up, and an Answer the way back. Together they see to it that a connection is
// used again only when the body before is at its end, and that otherwise the response says `Connection: close` (RFC
// 9112 section 9.6).
//
// Invariant: what net/http reads from a Conn is a request that has one reading only, or the stand-in request that
// carries the refusal to the pipeline, which answers and records it in turn. No byte of a body is ever read as a head.
package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"

	"sallyport/internal/fault"
)

// RefusedTarget is the target of the stand-in request for a refused one; Violation then says why.
const RefusedTarget = "/-/refused"

const standIn = "GET " + RefusedTarget + " HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n"

// DefaultMaxHead is the largest request head, in bytes, when Listen is told nothing else.
const DefaultMaxHead = 64 << 10

type state int

const (
	inHead state = iota
	inBody
	inChunkSize
	inChunkData
	inChunkEnd
	inLastChunk
	raw
	refused
)

// errOver is what reads return once the connection has been ended with a body that was not read to its end.
var errOver = errors.New("reading a request: its connection is ending")

// Conn is one connection from a caller. Read and Raw belong to one goroutine at a time; everything else may be called
// beside it.
type Conn struct {
	net.Conn
	maxHead   int
	state     state
	buf       *[]byte // what in and ready point into; nil while nothing of a request has come
	one       [1]byte // for the first byte, over TLS
	wait      waiter  // for the first byte, otherwise
	in        []byte  // read from the socket, not yet judged
	scanned   int     // how far in was searched for the end of the head
	ready     []byte  // judged, not yet read
	left      int64   // bytes left of the body or chunk
	violation atomic.Pointer[string]
	inBody    atomic.Bool // the violation is in a body, whose head was let through
	rawMode   atomic.Bool
	names     [2]string     // see Names; of the last head that was let through and the one before
	taken     uint64        // requests whose names were asked for
	progress  atomic.Uint64 // 2 × heads let through, +1 while the body of the last of them is not at its end
	over      atomic.Bool   // nothing more is read: see end
	closing   atomic.Bool
	broken    atomic.Pointer[fault.Panic]
	place     entry
	idle      atomic.Int64 // since when it is in no request, in Unix nanoseconds; 0 while it is in one
	isProven  atomic.Bool
	clear     atomic.Pointer[net.Conn] // what is under TLS, when the caller does not speak it
}

// NewConn wraps c; heads over maxHead bytes are refused.
func NewConn(c net.Conn, maxHead int) *Conn {
	if maxHead <= 0 {
		maxHead = DefaultMaxHead
	}
	return &Conn{Conn: c, maxHead: maxHead}
}

// Violation says why the last request was refused, or "".
func (c *Conn) Violation() string {
	if v := c.violation.Load(); v != nil {
		return *v
	}
	return ""
}

// BodyViolation says what is wrong with the body of the request that is being read, or "".
func (c *Conn) BodyViolation() string {
	if !c.inBody.Load() {
		return ""
	}
	return c.Violation()
}

// Broken is the panic that ended the reading of the last request, or nil.
func (c *Conn) Broken() *fault.Panic { return c.broken.Load() }

// Names returns the header names of a request, each with a colon behind it, that the caller did not write in canonical
// form: net/http keeps only that. The handler of every request calls it once, at its start. One head at most is read
// ahead of a request by then.
func (c *Conn) Names() string {
	c.taken++
	at := c.taken & 1
	names := c.names[at]
	c.names[at] = ""
	return names
}

// Raw ends all checks: the connection was upgraded to another protocol. Call it before anything of that protocol is
// read, and while nobody reads. It reports false, and ends nothing, when the caller did not wait for the upgrade to be
// answered: what it has sent since was looked at as HTTP.
func (c *Conn) Raw() bool {
	if c.state != inHead || len(c.in)+len(c.ready) > 0 || c.over.Load() {
		return false
	}
	c.rawMode.Store(true)
	return true
}

// Read implements net.Conn. Partial heads survive a deadline, so a read that timed out can be repeated.
//
// A panic ends the request, like a violation, and never the process: net/http calls Read from goroutines that recover
// nothing.
func (c *Conn) Read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = c.fail(fault.Panicked("reading a request", v), p)
		}
	}()
	if n, err = c.read(p); err != nil && c.over.Load() {
		err = errOver // not the deadline that woke it up
	}
	return n, err
}

// fail ends the connection after a panic: with the stand-in request if it was in a head.
func (c *Conn) fail(why *fault.Panic, p []byte) (int, error) {
	c.broken.Store(why)
	if c.state != inHead || c.rawMode.Load() {
		c.state, c.in, c.ready = refused, nil, nil
		c.over.Store(true)
		return 0, why
	}
	c.standInAfter(why)
	return c.take(p), nil
}

// standInAfter is fail in a head.
func (c *Conn) standInAfter(why *fault.Panic) {
	c.broken.Store(why)
	c.state, c.in, c.ready = refused, nil, []byte(standIn)
}

func (c *Conn) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if c.over.Load() {
			return 0, errOver
		}
		if n := c.take(p); n > 0 {
			return n, nil
		}
		if c.state == refused {
			return 0, io.EOF
		}
		if c.rawMode.Load() {
			c.state = raw
		}
		if n, err, done := c.passThrough(p); done {
			return n, err
		}
		if c.judge() {
			continue
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
}

// take copies judged bytes to p.
func (c *Conn) take(p []byte) int {
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n
}

// passThrough reads body bytes straight into p, without a copy, when nothing is buffered.
func (c *Conn) passThrough(p []byte) (n int, err error, done bool) {
	if len(c.in) > 0 {
		return 0, nil, false
	}
	switch c.state {
	case raw:
		n, err = c.Conn.Read(p)
		return n, err, true
	case inBody, inChunkData:
		n, err = c.Conn.Read(p[:min(int64(len(p)), c.left)])
		c.consume(int64(n))
		return n, err, true
	default:
		return 0, nil, false
	}
}

func (c *Conn) consume(n int64) {
	if c.left -= n; c.left > 0 {
		return
	}
	if c.state == inBody {
		c.bodyEnds()
	} else {
		c.state = inChunkEnd
	}
}

func (c *Conn) bodyEnds() {
	c.state = inHead
	c.progress.Store(c.progress.Load() &^ 1)
}

// release moves n bytes from in to ready.
func (c *Conn) release(n int) {
	c.ready, c.in, c.scanned = c.in[:n], c.in[n:], 0
}

// judge looks at the buffered bytes and reports whether something became ready or the state changed.
func (c *Conn) judge() bool {
	if len(c.in) == 0 {
		return false
	}
	switch c.state {
	case inHead:
		return c.judgeHead()
	case inChunkSize, inChunkEnd, inLastChunk:
		return c.judgeLine()
	case inBody, inChunkData:
		n := min(int64(len(c.in)), c.left)
		c.release(int(n))
		c.consume(n)
		return true
	default:
		c.release(len(c.in))
		return true
	}
}

func (c *Conn) judgeHead() bool {
	searched := c.scanned
	from := max(0, searched-3)
	i := bytes.Index(c.in[from:], []byte("\r\n\r\n"))
	c.scanned = len(c.in)
	if i < 0 {
		if len(c.in) > c.maxHead {
			return c.refuse("the request head is too large")
		}
		if why := earlyViolation(c.in, searched); why != "" {
			return c.refuse(why)
		}
		return false
	}
	end := from + i + 4
	if end > c.maxHead {
		return c.refuse("the request head is too large")
	}
	f, why := checkHead(c.in[:end])
	if why != "" {
		return c.refuse(why)
	}
	now := c.progress.Load()&^1 + 2
	switch {
	case f.chunked:
		c.state = inChunkSize
		now++
	case f.length > 0:
		c.state, c.left = inBody, f.length
		now++
	}
	c.names[now>>1&1] = f.names
	c.progress.Store(now)
	c.release(end)
	return true
}

// judgeLine handles the short lines of the chunked coding (RFC 9112 section 7.1).
func (c *Conn) judgeLine() bool {
	i := bytes.IndexByte(c.in, '\n')
	if i < 0 {
		if len(c.in) > maxChunkLine {
			return c.refuse("a chunk header is too long")
		}
		return false
	}
	line := c.in[:i+1]
	switch c.state {
	case inChunkEnd, inLastChunk:
		if string(line) != "\r\n" {
			return c.refuse(map[state]string{
				inChunkEnd:  "a chunk is longer than its header says",
				inLastChunk: "a chunked body ends with trailers, which the gate does not take",
			}[c.state])
		}
		if c.state == inChunkEnd {
			c.state = inChunkSize
		} else {
			c.bodyEnds()
		}
	default:
		size, ok := chunkSize(line)
		if !ok {
			return c.refuse("a chunk header is malformed or carries extensions")
		}
		if c.state, c.left = inChunkData, size; size == 0 {
			c.state = inLastChunk
		}
	}
	c.release(i + 1)
	return true
}

// refuse makes the connection end with the stand-in request.
func (c *Conn) refuse(why string) bool {
	wasHead := c.state == inHead
	c.violation.Store(&why)
	c.inBody.Store(!wasHead)
	c.state, c.in = refused, nil
	if wasHead {
		c.ready = []byte(standIn)
	}
	return true
}
