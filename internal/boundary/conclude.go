package boundary

import (
	"context"
	"errors"
	"net/http"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
)

// refuse answers a request that got no credential.
func (p *Pipeline) refuse(w http.ResponseWriter, x *exchange, f *fault.Fault) {
	p.noticed(x, f)
	if f.Row().Blame == fault.BlameSallyport && f.Code != fault.Draining {
		x.logged(p.o.Log).Error("refusing a request", "code", f.Code, "error", errors.Unwrap(f))
	}
	if f.Code == fault.CircuitOpen && x.service.Circuit.Tell() {
		p.o.Log.Warn("an API cannot be connected to and is not called for a moment",
			"service", x.service.Name, "why", f.Message)
	}
	x.answer(w, f)
}

// conclude answers, or breaks off, what failed after the credential had left.
func (p *Pipeline) conclude(w http.ResponseWriter, x *exchange, f *fault.Fault) {
	p.noticed(x, f)
	started := x.status != 0
	p.complain(x, f)
	if started {
		x.code, x.detail = f.Code, f.Message
	} else if f.Code == fault.ClientGone {
		x.code, x.detail, x.status = f.Code, f.Message, f.Row().Status
	}
	if started || f.Code == fault.ClientGone {
		panic(http.ErrAbortHandler)
	}
	x.answer(w, f)
}

// complain logs a fault of Sallyport's own. Its cause may quote what an outsider sent, so it is scrubbed.
func (p *Pipeline) complain(x *exchange, f *fault.Fault) {
	if f.Row().Blame != fault.BlameSallyport || f.Code == fault.Draining {
		return
	}
	why := f.Message
	if cause := errors.Unwrap(f); cause != nil {
		why = cause.Error()
	}
	if x.material != nil {
		why, _ = x.material.Forms().String(why)
	}
	x.logged(p.o.Log).Error("a request failed in Sallyport", "code", f.Code, "details", f.Details,
		"error", hideTokens(why))
}

// whose turns an error of the exchange into a fault.
func whose(r *http.Request, v *View, err error) *fault.Fault {
	var f *fault.Fault
	var client clientError
	switch {
	case v.Body != nil && v.Body.Broken() != nil:
		return fault.From(v.Body.Broken())
	case errors.As(err, &f):
		return f
	case fault.Machine(err) != nil: // also where the caller is written to
		return fault.Machine(err)
	case v.Body != nil && v.Body.BodyViolation() != "":
		return fault.New(fault.RequestMalformed, v.Body.BodyViolation()).Wrap(err)
	case errors.As(err, &client), r.Context().Err() != nil:
		return fault.New(fault.ClientGone,
			"the caller closed the connection before the response was complete").Wrap(err)
	default:
		return egress.Classify(err)
	}
}

// ownEnd tells who ended a request that failed with f: where the gate ended it, with a fault as the cause, whatever
// broke after that is its doing, and neither the caller's nor the API's.
func ownEnd(ctx context.Context, f *fault.Fault) *fault.Fault {
	if ctx.Err() == nil {
		return f
	}
	if own, ok := errors.AsType[*fault.Fault](context.Cause(ctx)); ok {
		return own
	}
	return f
}

// recovered is what Handle does with a panic of its own goroutine: the request gets a response, or is broken off.
func (p *Pipeline) recovered(w http.ResponseWriter, x *exchange, v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	p.conclude(w, x, fault.From(fault.Panicked("handling a request", v)))
}
