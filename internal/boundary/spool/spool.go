// Package spool makes a request's body readable again: what is read of the caller is kept on its way through.
//
// The first bytes are kept in memory, what is more in a file without a name, and what is more than that is not kept:
// the body still streams through, once. Nobody waits for the whole body unless Whole is called. A [Small] keeps what
// fits into a little memory, and no file. The package knows nothing of HTTP beyond io.ReadCloser, and it closes the
// caller's body only to end a Read that waits for it when all is over.
//
// Invariant: no byte that was read of the caller is lost as long as Rewind returns no error, whoever read it.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// The limits of a body whose Options name none.
const (
	DefaultMemory = 1 << 20
	DefaultTotal  = 64 << 20
)

// chunk is how much Whole reads of the caller at a time.
const chunk = 32 << 10

//nolint:gochecknoglobals // a pool is shared by nature
var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// Errors of a Body.
var (
	// ErrBodyTooLarge is the cause when a body is larger than what may be kept.
	ErrBodyTooLarge = errors.New("the request body is larger than what is kept of one")
	// ErrBodyClosed is what readers get after Close.
	ErrBodyClosed = errors.New("the request body is closed")
	// ErrSuperseded is what a reader gets when Rewind has made a newer one.
	ErrSuperseded = errors.New("the request body is being read again from its start")
)

// CallerError is a body that the caller did not send to its end.
type CallerError struct{ Err error }

// Error implements error.
func (e *CallerError) Error() string { return "reading the caller's request body: " + e.Err.Error() }

// Unwrap returns what the caller's reader said; io.ErrUnexpectedEOF when it ended before the declared length.
func (e *CallerError) Unwrap() error { return e.Err }

// Options are the limits, in bytes.
type Options struct {
	Memory int64  // kept in memory; 0: DefaultMemory; negative: nothing
	Total  int64  // kept altogether, the rest of it in a file; 0: DefaultTotal; no more than Memory: no file is made
	Dir    string // where the file is made; "": the system's directory for temporary files
	Length int64  // what the caller declared, as http.Request.ContentLength has it; 0 and -1: unknown

	Budget *Budget // what all bodies may keep at one time; nil: as much as each of them may
}

// Body keeps what is read of a caller's body. It is safe for concurrent use: the HTTP transport may still read for an
// earlier sending while a later one begins.
type Body struct {
	o      Options
	caller io.ReadCloser
	fill   sync.Mutex // held while the caller is read; taken before mu

	mu      sync.Mutex
	store   store
	read    int64 // of the caller, kept or not
	end     error // what the caller ended with, io.EOF or its error; nil while it goes on
	lost    error // why the body cannot be read from its start any more
	current *reader
	room    int64 // taken by Room
	closed  bool
	pull    *pull        // the caller is being read for a reader; nil: it is not
	buffer  *[chunk]byte // what a pull reads into; nil before the first, and after Close
	direct  []byte       // of buffer: what was not kept, and is for the current reader alone
}

// pull is one Read of the caller, in a goroutine of its own: whoever waits for it can be woken. HTTP/2 waits with the
// end of a response for the Read of the request's body that it has closed.
type pull struct{ done chan struct{} }

// New wraps the caller's body. Nothing is read yet.
func New(caller io.ReadCloser, o Options) *Body {
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	o.Memory = max(0, o.Memory)
	if o.Total == 0 {
		o.Total = DefaultTotal
	}
	o.Total = max(o.Total, o.Memory)
	return &Body{o: o, caller: caller, store: store{memory: o.Memory, expect: o.Length, dir: o.Dir, budget: o.Budget}}
}

// Rewind returns the body from its start: what was kept, and then what the caller still sends. The first call is the
// first sending. Readers of earlier calls get ErrSuperseded from now on; closing a reader leaves the caller's body
// open. The error says why not all of it was kept, and wraps ErrBodyTooLarge where it was too large.
func (b *Body) Rewind() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, ErrBodyClosed
	case b.lost != nil:
		return nil, fmt.Errorf("reading request body again: %w", b.lost)
	}
	if b.current != nil {
		b.current.leave()
	}
	b.current = &reader{body: b, gone: make(chan struct{})}
	return b.current, nil
}

// Kept tells whether the body can be read from its start again as far as is known: what is still to come may be too
// large.
func (b *Body) Kept() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.closed && b.lost == nil
}

// Whole reads the body to its end and returns all of it, with its size in bytes. What it returns is good until Close;
// each call has its own. The fault is body_too_large (wrapping ErrBodyTooLarge) when it is larger than what may be
// kept, known before anything is read where the length was declared: it can still be sent then. It is request_malformed
// (wrapping a CallerError) when the caller ended short, and overloaded (wrapping ErrNoRoom) when other bodies take all
// the room. A full disk is an error with a hint. ctx is looked at between reads; what ends a read that hangs is the
// server's deadline.
func (b *Body) Whole(ctx context.Context) (io.ReadSeeker, int64, error) {
	if b.o.Length > b.o.Total {
		return nil, 0, tooLarge()
	}
	b.fill.Lock()
	defer b.fill.Unlock()
	buf, _ := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	for {
		done, err := b.settled()
		if err != nil {
			return nil, 0, err
		}
		if done {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		n, err := b.caller.Read(buf[:])
		b.mu.Lock()
		b.took(buf[:n], err, nil)
		b.mu.Unlock()
	}
	size := b.size()
	return section{io.NewSectionReader(b, 0, size)}, size, nil
}

// section is all of a body. io.Copy takes a buffer of the pool for it.
type section struct{ *io.SectionReader }

// WriteTo implements io.WriterTo.
func (s section) WriteTo(w io.Writer) (int64, error) {
	buf, _ := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	return io.CopyBuffer(w, struct{ io.Reader }{s.SectionReader}, buf[:])
}

func (b *Body) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.store.size()
}

// settled tells whether the body is here to its end, or why it will never be.
func (b *Body) settled() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, truncated := errors.AsType[*CallerError](b.end)
	switch {
	case b.closed:
		return false, ErrBodyClosed
	case b.lost != nil && !errors.Is(b.lost, ErrBodyTooLarge):
		return false, b.lost
	case b.store.failure != nil:
		return false, b.store.failure
	case b.lost != nil, b.store.size() > b.o.Total:
		return false, tooLarge()
	case truncated:
		return false, fault.New(fault.RequestMalformed,
			"the request body ended before it was complete, so nothing of it was signed or sent").Wrap(b.end)
	case b.end != nil && !errors.Is(b.end, io.EOF):
		return false, b.end
	}
	return b.end != nil, nil
}

func tooLarge() *fault.Fault {
	return fault.New(fault.BodyTooLarge,
		"the request body is larger than what can be kept of one, and the credential has to see all of it").Wrap(
		ErrBodyTooLarge)
}

// ReadAt implements io.ReaderAt over what was kept.
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, ErrBodyClosed
	}
	return b.store.readAt(p, off)
}

// Close gives back the memory and the file. A Read that waits for the caller ends, and the caller's body with it:
// closing that has to wake whoever reads it.
func (b *Body) Close() error {
	b.mu.Lock()
	b.closed = true
	if b.current != nil {
		b.current.leave()
	}
	under := b.pull
	b.mu.Unlock()
	if under != nil {
		_ = b.caller.Close()
		<-under.done
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buffer != nil {
		chunks.Put(b.buffer)
		b.buffer, b.direct = nil, nil
	}
	b.o.Budget.giveBack(b.room, 0)
	b.room = 0
	return b.store.release()
}

// took keeps what was read of the caller; b.mu is held. by is the reader that it is for, nil when it is for nobody yet.
// What the current reader gets need not be kept, so a failure to keep it only ends the possibility to rewind.
func (b *Body) took(p []byte, err error, by *reader) {
	b.note(len(p), err)
	switch {
	case b.closed, b.lost != nil:
		return
	case by == nil || by != b.current: // nobody has seen it: it must not get lost, whatever it takes
		b.store.keep(p)
		return
	}
	if b.store.size()+int64(len(p)) > b.o.Total {
		b.lose(ErrBodyTooLarge)
		return
	}
	b.store.keep(p)
	if b.store.failure != nil {
		b.lose(b.store.failure)
	}
}

// note counts what was read, and knows the end of the body when it comes.
func (b *Body) note(n int, err error) {
	b.read += int64(n)
	_, known := errors.AsType[*fault.Fault](err)
	_, broken := errors.AsType[*fault.Panic](err)
	switch {
	case err == nil:
	case known, broken: // the caller's reader has its own limits, and has said so; a panic is ours
		b.end = err
	case !errors.Is(err, io.EOF):
		b.end = &CallerError{err}
	case b.o.Length > 0 && b.read < b.o.Length:
		b.end = &CallerError{io.ErrUnexpectedEOF}
	default:
		b.end = io.EOF
	}
}

// lose gives up on reading the body again, for the sake of the one sending that is under way.
func (b *Body) lose(why error) {
	b.lost = why
	_ = b.store.release()
}

// reader is one sending of the body.
type reader struct {
	body   *Body
	offset int64         // guarded by body.mu
	closed bool          // guarded by body.mu
	left   bool          // gone is closed; guarded by body.mu
	gone   chan struct{} // closed: nothing is waited for any more
}

// Read implements io.Reader. What is kept comes first, then what the caller sends.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if n, done, err := r.kept(p); done {
			return n, err
		}
		if w := r.fresh(); w != nil {
			select {
			case <-w.done:
			case <-r.gone:
			}
		}
	}
}

// kept reads what is there already; done is false when the caller has to be read.
func (r *reader) kept(p []byte) (n int, done bool, err error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := r.ended(); err != nil {
		return 0, true, err
	}
	if len(b.direct) > 0 {
		n = copy(p, b.direct)
		b.direct = b.direct[n:]
		return n, true, nil
	}
	if b.lost == nil && r.offset < b.store.size() {
		n, err = b.store.readAt(p, r.offset)
		r.offset += int64(n)
		if n > 0 {
			err = nil
		}
		return n, true, err
	}
	return 0, b.end != nil, b.end
}

// fresh has the caller read, and returns what to wait for; nil when there is something to be read by now.
func (r *reader) fresh() *pull {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if !r.atFrontier() {
		return nil
	}
	if b.pull == nil {
		b.pull = &pull{done: make(chan struct{})}
		if b.buffer == nil {
			b.buffer, _ = chunks.Get().(*[chunk]byte)
		}
		w := b.pull
		guard.Go("keeping a request body", func() {
			b.take(w, r)
		}, func(*fault.Panic) {}) // takeOnce has an error for those who wait
	}
	return b.pull
}

// take is one pull, for r.
func (b *Body) take(w *pull, r *reader) {
	b.fill.Lock()
	defer b.fill.Unlock()
	err := b.takeOnce(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.end = err
	}
	b.pull = nil
	close(w.done)
}

// takeOnce reads the caller once. Nobody recovers in this goroutine but it: a panic is an error of the body.
func (b *Body) takeOnce(r *reader) (err error) {
	defer fault.Recover("keeping a request body", &err)
	b.mu.Lock()
	wanted, buffer := r.atFrontier(), b.buffer
	b.mu.Unlock()
	if !wanted {
		return nil
	}
	n, readErr := b.caller.Read(buffer[:])
	b.mu.Lock()
	defer b.mu.Unlock()
	b.took(buffer[:n], readErr, r)
	if b.lost != nil && !b.closed && r == b.current {
		b.direct = buffer[:n]
	}
	return nil
}

// atFrontier tells whether only the caller has what r reads next; body.mu is held.
func (r *reader) atFrontier() bool {
	b := r.body
	return r.ended() == nil && len(b.direct) == 0 && b.end == nil && (b.lost != nil || r.offset >= b.store.size())
}

// leave wakes whoever waits in Read; body.mu is held.
func (r *reader) leave() {
	if !r.left {
		r.left = true
		close(r.gone)
	}
}

// ended says why nothing comes from this reader any more; body.mu is held.
func (r *reader) ended() error {
	switch {
	case r.closed, r.body.closed:
		return ErrBodyClosed
	case r.body.current != r:
		return ErrSuperseded
	}
	return nil
}

// Close ends this sending, also a Read that waits. What was kept stays, and so does the caller's body: the next sending
// has what still comes of it.
func (r *reader) Close() error {
	r.body.mu.Lock()
	defer r.body.mu.Unlock()
	r.closed = true
	r.leave()
	return nil
}

// systemDir is where the file goes when no directory is named.
func systemDir(dir string) string {
	if dir == "" {
		return os.TempDir()
	}
	return dir
}
