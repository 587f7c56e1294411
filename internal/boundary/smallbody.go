package boundary

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// maxSmall is how much of the body of a request to a service without replays is kept, for a connection that turns out to be dead, in bytes.
// Most API calls fit, and what all of them keep is bounded with the number of requests.
const maxSmall = 32 << 10

var errReadAgain = errors.New("reading request body: it is read from its start again")

// smallBody keeps the beginning of a caller's body as it is read. Unlike a spool it takes no goroutine.
type smallBody struct {
	caller io.ReadCloser

	mu      sync.Mutex
	buf     []byte
	end     error // what the caller ended with
	lost    bool
	current *smallReader
}

// kept tells whether the body can be read from its start again.
func (b *smallBody) kept() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.lost && (b.end == nil || errors.Is(b.end, io.EOF))
}

// start returns the body from its start. An earlier reader gets an error from now on.
func (b *smallBody) start() io.ReadCloser {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = &smallReader{body: b}
	return b.current
}

// smallReader is one sending of the body.
type smallReader struct {
	body   *smallBody
	offset int // guarded by body.mu
	closed atomic.Bool
}

// Read implements io.Reader.
func (r *smallReader) Read(p []byte) (int, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.current != r, r.closed.Load():
		return 0, errReadAgain
	case !b.lost && r.offset < len(b.buf):
		n := copy(p, b.buf[r.offset:])
		r.offset += n
		return n, nil
	case b.end != nil:
		return 0, b.end
	}
	n, err := b.caller.Read(p)
	b.end = err
	if b.lost = b.lost || len(b.buf)+n > maxSmall; b.lost {
		b.buf = nil
	} else {
		b.buf = append(b.buf, p[:n]...)
		r.offset += n
	}
	return n, err
}

// Close implements io.Closer. It ends a Read that waits for the caller, and the caller's body with it; otherwise what still comes of that
// is for the next sending.
func (r *smallReader) Close() error {
	r.closed.Store(true)
	if r.body.mu.TryLock() {
		r.body.mu.Unlock()
		return nil
	}
	return r.body.caller.Close()
}
