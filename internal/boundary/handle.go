package boundary

import "net/http"

// Handle takes one request the whole way, in eight steps:
//
//	1 to 4  authenticate, authorise, credential, audit   decide.go
//	5       inject                                       outgoing.go
//	6       egress                                       send.go, resend.go, replay.go
//	7       scrub                                        respond.go, redirect.go, upgrade.go
//	8       audit                                        finish.go
//
// The response is written when it returns; a response that ended short panics with http.ErrAbortHandler, so that the
// caller's connection breaks off and nothing incomplete passes for whole.
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
		x.unregister()
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
	// steps 5 and 6; it ends when the caller goes away; closing the response's body ends the call to the API
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

// pass hands the API's response to the caller.
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
