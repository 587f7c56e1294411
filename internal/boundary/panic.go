package boundary

import (
	"errors"
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
	if v.Body == nil {
		return
	}
	v.Body.Finish() // the way in looks at the result
	if why := v.Body.Broken(); why != nil {
		p.panicked(x, why)
		if x.code == "" {
			x.code, x.detail = fault.Internal, why.Error()
		}
	}
}

// panicked logs and counts a panic, once.
func (p *Pipeline) panicked(x *exchange, why *fault.Panic) {
	if !why.Tell() {
		return
	}
	p.o.Observer.Panicked()
	p.o.Log.Error("a request ended in a panic: this is a mistake in Sallyport", "request_id", x.event.ID,
		"while", why.Where, "what", why.What, "stack", why.Stack)
}

// noticed tells of the panic that err came from, if there is one.
func (p *Pipeline) noticed(x *exchange, err error) {
	if why, ok := errors.AsType[*fault.Panic](err); ok {
		p.panicked(x, why)
	}
}
