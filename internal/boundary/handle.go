package boundary

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
)

// Handle takes one request the whole way. The response is written when it returns; a response that ended short panics
// with http.ErrAbortHandler, so that the caller's connection breaks off and nothing incomplete passes for whole.
func (p *Pipeline) Handle(w http.ResponseWriter, r *http.Request, v *View) {
	x := p.begin(v)
	defer p.finish(x) // step 8
	defer p.finishBody(v, x)
	defer func() {
		if e := recover(); e != nil {
			p.recovered(w, x, e)
		}
	}()
	p.note(v, x)
	x.body, x.epoch = v.Body, p.live.epoch.Load()
	if f := p.decide(r.Context(), x); f != nil { // steps 1 to 4
		p.refuse(w, x, ownEnd(r.Context(), f))
		return
	}
	if err := p.carry(w, r, x); err != nil { //nolint:contextcheck // the request has it; steps 5 to 7
		p.conclude(w, x, ownEnd(r.Context(), whose(r, v, err)))
	}
}

// carry is the exchange, which may be ended from outside while it is under way: that counts, whatever else came of it.
func (p *Pipeline) carry(w http.ResponseWriter, r *http.Request, x *exchange) (err error) {
	p.register(w, r, x)
	defer func() {
		p.unregister(x)
		if f := x.ended.Load(); f != nil {
			if err != nil || !x.arrived() {
				err = f
			}
		} else if f := ownEnd(r.Context(), nil); f != nil && x.status == http.StatusSwitchingProtocols {
			err = f
		}
	}()
	return p.exchange(w, r, x)
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

// refuse answers a request that got no credential.
func (p *Pipeline) refuse(w http.ResponseWriter, x *exchange, f *fault.Fault) {
	p.noticed(x, f)
	if f.Row().Blame == fault.BlameSallyport && f.Code != fault.Draining {
		p.o.Log.Error("refusing a request", "request_id", x.event.ID, "code", f.Code, "error", errors.Unwrap(f))
	}
	if f.Code == fault.CircuitOpen && x.service.Circuit.Tell() {
		p.o.Log.Warn("an API cannot be connected to and is not called for a moment",
			"service", x.service.Name, "why", f.Message)
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
	p.o.Log.Error("a request failed in Sallyport", "request_id", x.event.ID, "code", f.Code, "details", f.Details,
		"error", hideTokens(why))
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

// clientError marks a failure of the caller's side.
type clientError struct{ error }

func (e clientError) Unwrap() error { return e.error }

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

// exchange is steps 5 to 7: inject, dial, scrub.
func (p *Pipeline) exchange(w http.ResponseWriter, r *http.Request, x *exchange) error {
	s := sending{p: p, w: w, r: r, v: x.view, x: x}
	if f := s.open(); f != nil {
		return f
	}
	defer s.close()
	if f := x.ended.Load(); f != nil {
		return f
	}
	// steps 5 and 6; it ends when the caller goes away; closing the answer's body ends the call to the API
	resp, err := s.send(&x.liveContext)
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		err = p.pass(w, r, x, resp) // step 7
	} else if bodyError := s.caller.failure(); bodyError != nil {
		err = bodyError
	}
	if why := x.broken.Load(); why != nil && err != nil {
		return why
	}
	if f := s.watched.failure(); f != nil {
		if err != nil {
			return f
		}
		x.code, x.detail = f.Code, f.Message // the API answered before the upload was broken off
	}
	return err
}

// pass hands the API's answer to the caller.
func (p *Pipeline) pass(w http.ResponseWriter, r *http.Request, x *exchange, resp *http.Response) error {
	if f := x.ended.Load(); f != nil {
		return f
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return p.upgrade(w, r, resp, x)
	}
	leaves, location := redirect(resp, x.service, x.material)
	if location != nil && leaves {
		return p.external(w, r, resp, location, x)
	}
	mapReferences(r, resp, x, x.view)
	if location != nil {
		resp.Header["Location"] = []string{mounted(location, x, x.view.Mount)}
	}
	return p.respond(w, r, resp, x)
}

// isUpgrade tells whether a request is a WebSocket handshake. HTTP/1.0 has none (RFC 9110 section 7.8).
func isUpgrade(r *http.Request) bool { return r.ProtoAtLeast(1, 1) && wantsUpgrade(NetHTTP(r.Header)) }

func wantsUpgrade(h Header) bool {
	upgrade := h.Values("Upgrade")
	return len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") &&
		nominated(h.Values("Connection"))["Upgrade"]
}
