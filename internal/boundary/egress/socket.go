package egress

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// socket is a connection of TCP straight to an API, beneath TLS, that can tell whether the API's kernel took anything
// of a request.
//
// An API that ends a connection as a request is on its way there sends FIN, and its kernel answers the request with
// RST. The three together prove that nothing of it can have been processed: the FIN came in order and acknowledged
// nothing of the request, so the API had ended its side, and could answer nothing any more, when its kernel had not a
// byte of it; nothing was acknowledged after that, as it would be where only one direction is closed and the other is
// still read; and the RST says that the connection is closed for good. A RST alone proves nothing: an API that reads
// the beginning of a request, acts, and closes on the rest sends one too, and what acknowledgement that has the kernel
// does not take. Nor is there a proof through a proxy, whose kernel it is then, or on other systems than Linux: the
// request fails there, and is not sent again.
type socket struct {
	net.Conn
	raw           syscall.RawConn
	first         uint64 // bytes that the kernel counts as acknowledged before any were written: the SYN
	read, written atomic.Uint64
	before        atomic.Uint64 // written before the request that uses it
}

// fate is what is known of a request on a socket that has come to its end.
type fate int

const (
	pending fate = iota
	refused      // the API's kernel took nothing of it
	taken        // it took some, or there is no telling
)

// newSocket returns conn itself where nothing could be told.
func newSocket(conn net.Conn) net.Conn {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return conn
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return conn
	}
	info, ok := tcpInfo(raw)
	if !ok {
		return conn
	}
	return &socket{Conn: conn, raw: raw, first: info.acked}
}

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.read.Add(uint64(max(n, 0)))
	return n, err
}

// Write implements net.Conn.
func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	s.written.Add(uint64(max(n, 0)))
	return n, err
}

// begin is called before anything of the next request is written.
func (s *socket) begin() { s.before.Store(s.written.Load()) }

// refused tells whether the API's kernel took nothing of the request. It waits for what is still on its way, not longer
// than limit.
func (s *socket) refused(limit time.Duration) bool {
	for pause := time.Millisecond / 2; ; pause *= 2 {
		if f := s.fate(); f != pending {
			return f == refused
		}
		if limit -= pause; limit < 0 {
			return false
		}
		time.Sleep(pause) //nolint:forbidigo // a Read has no context; limit bounds it, and Close makes the next look the last
	}
}

func (s *socket) fate() fate {
	info, ok := tcpInfo(s.raw)
	switch {
	case !ok, info.acked < s.first, info.acked-s.first > s.before.Load():
		return taken
	case info.closed && info.received == s.read.Load()+1: // the FIN counts as one, and nothing lies unread before it
		return refused
	}
	return pending
}
