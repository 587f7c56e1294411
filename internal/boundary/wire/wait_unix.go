//go:build unix

package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// waiter reads from a socket, and takes a buffer only when there is something to read.
type waiter struct {
	raw syscall.RawConn // nil until the first read
	try func(fd uintptr) bool
	buf *[]byte
	n   int
	err error
}

// read returns a small buffer with n bytes in it, or n 0, no buffer, and why.
func (w *waiter) read(c net.Conn) (b *[]byte, n int, err error) {
	if w.raw == nil {
		sc, ok := c.(syscall.Conn)
		if !ok {
			return readWhole(c)
		}
		if w.raw, err = sc.SyscallConn(); err != nil {
			return nil, 0, err //nolint:wrapcheck // as Read returns it
		}
		w.try = w.once
	}
	w.buf, w.n, w.err = nil, 0, nil
	if err := w.raw.Read(w.try); err != nil {
		return nil, 0, err //nolint:wrapcheck // as Read returns it
	}
	switch {
	case w.err != nil:
		return nil, 0, &net.OpError{
			Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(),
			Err: os.NewSyscallError("read", w.err),
		}
	case w.n == 0:
		return nil, 0, io.EOF
	}
	b, w.buf = w.buf, nil
	return b, w.n, nil
}

// once reports false when there is nothing to read yet: the runtime's poller waits then.
func (w *waiter) once(fd uintptr) bool {
	b := smallBuffer()
	for {
		w.n, w.err = syscall.Read(int(fd), *b)
		if !errors.Is(w.err, syscall.EINTR) {
			break
		}
	}
	if w.n > 0 {
		w.buf = b
		return true
	}
	w.n = 0
	smallBufs.Put(b)
	return !errors.Is(w.err, syscall.EAGAIN)
}
