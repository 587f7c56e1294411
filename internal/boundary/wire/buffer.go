package wire

import (
	"crypto/tls"
	"net"
	"sync"
)

// smallBuf is what most heads fit into, in bytes.
const smallBuf = 4096

//nolint:gochecknoglobals // a pool is shared by nature
var smallBufs = sync.Pool{New: func() any { b := make([]byte, smallBuf); return &b }}

func smallBuffer() *[]byte {
	return smallBufs.Get().(*[]byte) //nolint:errcheck,forcetypeassert // nothing else is in the pool
}

// fill reads more from the socket into in. Ready is empty whenever it runs. While nothing has come there is no buffer:
// most of a connection's life is waiting, and a stranger who only opens connections gets no memory for it.
func (c *Conn) fill() error {
	if len(c.in) == 0 {
		c.letGo()
		return c.first()
	}
	b, held := *c.buf, len(c.in)
	if need := held + 1024; len(b) < need {
		// a head that stops short of its end holds no more than a whole one
		b = make([]byte, min(2*need, c.maxHead+2048))
		copy(b, c.in)
		c.letGo()
		c.buf = &b
	} else {
		copy(b, c.in) // the front of buf is free
	}
	c.in = b[:held]
	n, err := c.Conn.Read(b[held:])
	c.in = b[:held+n]
	if n > 0 {
		return nil
	}
	return err
}

// letGo gives the buffer back. That of a large head is gone with it.
func (c *Conn) letGo() {
	if c.buf != nil && len(*c.buf) == smallBuf {
		smallBufs.Put(c.buf)
	}
	c.buf, c.in = nil, nil
}

// first waits for what comes next, and takes a buffer for it when it is there.
func (c *Conn) first() error {
	if t, ok := c.Conn.(*tls.Conn); ok { // which has the rest of its record at hand after the first byte
		n, err := t.Read(c.one[:])
		if n == 0 {
			return err
		}
		c.buf = smallBuffer()
		c.in = append((*c.buf)[:0], c.one[0])
		return nil
	}
	b, n, err := c.wait.read(c.Conn)
	if n == 0 {
		return err
	}
	c.buf, c.in = b, (*b)[:n]
	return nil
}

// readWhole is for connections that are no sockets.
func readWhole(c net.Conn) (b *[]byte, n int, err error) {
	b = smallBuffer()
	if n, err = c.Read(*b); n > 0 {
		return b, n, nil
	}
	smallBufs.Put(b)
	return nil, 0, err //nolint:wrapcheck // as Read returns it
}
