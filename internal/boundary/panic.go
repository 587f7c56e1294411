package boundary

import (
	"errors"
	"io"

	"sallyport/internal/fault"
)

// A panic ends the request that it happened in, and nothing else. Whichever goroutine it is in turns it into an error
// (*fault.Panic) on its way to Handle: net/http and its transport start goroutines that recover nothing.

// guardedBody is what the transport reads, in goroutines of its own. Whatever is below it may look at the body and
// keep it; a panic there is an error.
type guardedBody struct {
	io.ReadCloser
	x *exchange
}

// Read implements io.Reader.
func (b *guardedBody) Read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = 0, b.broke(fault.Panicked("sending a request body", v))
		}
	}()
	n, err = b.ReadCloser.Read(p)
	if why, ok := errors.AsType[*fault.Panic](err); ok {
		_ = b.broke(why)
	}
	return n, err
}

// Close implements io.Closer.
func (b *guardedBody) Close() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = b.broke(fault.Panicked("closing a request body", v))
		}
	}()
	return b.ReadCloser.Close()
}

func (b *guardedBody) broke(why *fault.Panic) error {
	b.x.broken.CompareAndSwap(nil, why)
	return why
}

// survive is deferred by the parts of begin and finish that call what others made: each may panic without keeping the
// others from being done.
func (p *Pipeline) survive(x *exchange, where string) {
	if v := recover(); v != nil {
		p.panicked(x, fault.Panicked(where, v))
	}
}

// panicked logs and counts a panic, once.
func (p *Pipeline) panicked(x *exchange, why *fault.Panic) {
	if !why.Tell() {
		return
	}
	defer func() { _ = recover() }() // the observer's, which has nobody left to be told to
	defer p.o.Observer.Panicked()
	x.logged(p.o.Log).Error("a request ended in a panic: this is a mistake in Sallyport",
		"while", why.Where, "what", why.What, "stack", why.Stack)
}

// noticed tells of the panic that err came from, if there is one.
func (p *Pipeline) noticed(x *exchange, err error) {
	if why, ok := errors.AsType[*fault.Panic](err); ok {
		p.panicked(x, why)
	}
}
