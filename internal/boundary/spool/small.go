package spool

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// MaxSmall is how much a Small keeps at the most, in bytes. Most API calls fit.
const MaxSmall = 32 << 10

// leastRoom is the least that is taken for a body at a time, in bytes.
const leastRoom = 512

var errReadAgain = errors.New("reading request body: it is read from its start again")

// Small keeps the beginning of a caller's body as it is read: of a request to a service without replays, for a
// connection that turns out to be dead. Unlike a Body it takes no goroutine. It is safe for concurrent use.
type Small struct {
	caller io.ReadCloser
	length int64 // what the caller declared; -1: unknown
	room   room

	mu      sync.Mutex
	buf     []byte
	end     error // what the caller ended with
	lost    bool
	current *smallReader
}

// NewSmall wraps the caller's body, of which length was declared; -1: none was. Nothing is read yet.
func NewSmall(caller io.ReadCloser, length int64, budget *Budget) *Small {
	return &Small{caller: caller, length: length, room: room{budget: budget}}
}

// Kept tells whether the body can be read from its start again.
func (b *Small) Kept() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.lost && (b.end == nil || errors.Is(b.end, io.EOF))
}

// Start returns the body from its start. An earlier reader gets an error from now on.
func (b *Small) Start() io.ReadCloser {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = &smallReader{body: b}
	return b.current
}

// smallReader is one sending of the body.
type smallReader struct {
	body   *Small
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
	if b.keep(p[:n]) {
		r.offset += n
	}
	return n, err
}

// keep adds p to what is kept, or gives up on keeping; mu is held.
func (b *Small) keep(p []byte) bool {
	size := len(b.buf) + len(p)
	if !b.lost && size > cap(b.buf) {
		// what was declared is believed once some of it has come
		want := max(size, 2*cap(b.buf), leastRoom, int(b.length))
		if b.lost = size > MaxSmall || !b.room.grow(int64(min(want, MaxSmall))); !b.lost {
			b.buf = append(make([]byte, 0, min(want, MaxSmall)), b.buf...)
		}
	}
	if b.lost {
		b.buf = nil
		b.room.give(false)
		return false
	}
	b.buf = append(b.buf, p...)
	return true
}

// Close gives back the room. A Read may still be under way; it keeps nothing more.
func (b *Small) Close() { b.room.give(true) }

// room is what one body has of the budget of all.
type room struct {
	budget *Budget

	mu     sync.Mutex
	taken  int64
	closed bool
}

// grow takes what there is to take up to size bytes, or tells that there are not so many.
func (r *room) grow(size int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || !r.budget.inMemory(size-r.taken) {
		return false
	}
	r.taken = size
	return true
}

// give gives back all of it, for good or not.
func (r *room) give(closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.budget.giveBack(r.taken, 0)
	r.taken, r.closed = 0, r.closed || closed
}

// Close implements io.Closer. It ends a Read that waits for the caller, and the caller's body with it; otherwise what
// still comes of that is for the next sending.
func (r *smallReader) Close() error {
	r.closed.Store(true)
	if r.body.mu.TryLock() {
		r.body.mu.Unlock()
		return nil
	}
	return r.body.caller.Close()
}
