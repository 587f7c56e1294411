package boundary

import (
	"cmp"
	"errors"
	"io"
	"net/http"

	"sallyport/internal/fault"
)

// A panic ends the request that it happened in, and nothing else. Whichever goroutine it is in turns it into an error
// (*fault.Panic) on its way to Handle: net/http and its transport start goroutines that recover nothing.

// recovered is what Handle does with a panic of its own goroutine: the request gets an answer, or is broken off.
func (p *Pipeline) recovered(w http.ResponseWriter, x *exchange, v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	p.conclude(w, x, fault.From(fault.Panicked("handling a request", v)))
}

// finishBody lets nobody read the request any more, and tells of a panic in whoever did.
func (p *Pipeline) finishBody(v *View, x *exchange) {
	reading := x.broken.Load()
	if v.Body != nil {
		v.Body.Finish() // the way in looks at the result
		reading = cmp.Or(v.Body.Broken(), x.broken.Load())
	}
	if reading != nil {
		p.panicked(x, reading)
		if x.code == "" {
			x.code, x.detail = fault.Internal, reading.Error()
		}
	}
}

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

// The parts of begin and finish that call what others made: each may panic without keeping the others from being done.

func (p *Pipeline) begun(x *exchange) {
	defer p.survive(x, "counting a request")
	p.o.Observer.Started(x.event.Service)
}

// release gives back what the request held.
func (p *Pipeline) release(x *exchange) {
	if x.share != nil {
		x.share.Add(-1)
	}
	defer p.survive(x, "giving back what a request held")
	if x.probe {
		defer x.service.Circuit.Probed()
	}
	if x.acquired {
		x.service.Limits.Release()
	}
}

// hide is maskLate. What could not be masked is not recorded.
func (p *Pipeline) hide(x *exchange) {
	defer p.survive(x, "masking a record")
	masked := false
	defer func() {
		if !masked {
			e := &x.event
			e.Method, e.Path, e.Workflow, e.Execution, e.Node, x.detail = "", "", "", "", "",
				"this record could not be masked"
		}
	}()
	x.maskLate()
	if !x.authorised {
		p.strip(x)
	}
	masked = true
}

func (p *Pipeline) record(x *exchange) {
	defer p.survive(x, "recording a request")
	if x.authorised {
		p.o.Audit.Complete(&x.event)
	} else {
		p.o.Audit.Refuse(&x.event)
	}
}

func (p *Pipeline) count(x *exchange, o *Outcome) {
	defer p.survive(x, "counting a request")
	p.o.Observer.Finished(o)
}

// survive is deferred.
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
	p.o.Log.Error("a request ended in a panic: this is a mistake in Sallyport", "request_id", x.event.ID,
		"while", why.Where, "what", why.What, "stack", why.Stack)
}

// noticed tells of the panic that err came from, if there is one.
func (p *Pipeline) noticed(x *exchange, err error) {
	if why, ok := errors.AsType[*fault.Panic](err); ok {
		p.panicked(x, why)
	}
}
