package boundary

import (
	"context"
	"net/http"
	"strings"

	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// decide runs steps 1 to 4. What it learns stands in x, also when it refuses.
func (p *Pipeline) decide(ctx context.Context, x *exchange) *fault.Fault {
	if f := p.admit(x.view); f != nil {
		return f
	}
	c := p.config.Load()
	svc, known := c.Services.Lookup(x.view.Service)
	if f := p.authenticate(x, svc); f != nil { // step 1
		return f
	}
	p.trace(x)
	if !known {
		return unknownService(p.name(x.view.Service))
	}
	x.service, x.event.Service, x.event.Host = svc, svc.Name, svc.Host
	if f := c.authorise(x); f != nil { // step 2
		return f
	}
	f := p.shares.enter(&x.admission, x.grant, svc, x.started)
	if f != nil {
		return f
	}
	if x.material, f = p.credential(ctx, x, svc); f != nil { // step 3
		return f
	}
	x.event.Secrets = x.material.Versions
	x.mask(x.material.Forms())
	return p.permit(ctx, x) // step 4
}

// authorise is step 2: by the active configuration, and by the one that will be.
func (c *configuration) authorise(x *exchange) (f *fault.Fault) {
	x.scope = c.Scopes.Of(x.grant)
	x.event.Rule, f = Authorise(x.scope, x.service, x.view)
	if f == nil && c.next != nil {
		x.event.Rule, f = c.next.refuses(x.event.Rule, x.grant, x.view)
	}
	return f
}

// permit is step 4: from here on the credential may be used, because that is on record.
func (p *Pipeline) permit(ctx context.Context, x *exchange) *fault.Fault {
	if err := p.o.Audit.Authorise(ctx, &x.event); err != nil {
		return fault.New(fault.AuditUnavailable,
			"the audit log cannot be written, so the credential stays here").Wrap(err)
	}
	x.authorised = true
	return nil
}

// admit refuses what has no reading, and everything while there is no room.
func (p *Pipeline) admit(v *View) *fault.Fault {
	if f := p.sealed.Load(); f != nil {
		return f
	}
	switch {
	case v.Broken != nil:
		return fault.From(v.Broken)
	case v.Refusal != "":
		return fault.New(fault.RequestMalformed, v.Refusal)
	case wantsUpgrade(v.Header) && (v.Body != nil || v.Method != http.MethodGet):
		return fault.New(fault.RequestMalformed, "a WebSocket handshake is a GET without a body")
	case p.draining.Load():
		return fault.New(fault.Draining, "this Sallyport is stopping and takes no new requests")
	case p.o.InFlight > 0 && p.inFlight.Load() > p.o.InFlight:
		return fault.New(fault.Overloaded, "too many requests are in flight")
	}
	return CheckHeaders(v.Header)
}

// authenticate finds the token, verifies it, and keeps it for the check that it leaves nowhere.
func (p *Pipeline) authenticate(x *exchange, svc *service.Service) *fault.Fault {
	var found finder
	v := x.view
	if svc == nil {
		found = findAnywhere(v)
	} else {
		found = find(v, svc.Slots)
	}
	g, f := p.verify(&found)
	if f != nil {
		x.event.Token, _ = token.Parse(found.token) // well formed, so the record can say which one was refused
		return f
	}
	if v.Connection != nil {
		v.Connection.Prove()
	}
	x.event.Token, x.event.Label, x.event.Generation = g.ID, g.Name, g.Number
	x.grant, x.presented, x.inSlot = g, found.token, found.inSlot()
	if found.rest != v.Path { // the token stood in it
		without := *v
		without.Bare, without.Path = found.rest == "/" && !strings.HasSuffix(v.Path, "/"), found.rest
		x.view = &without
	}
	p.o.Tokens.Touch(g, x.event.Workflow, x.started)
	return nil
}

// verify returns what the one token that was found may do.
func (p *Pipeline) verify(found *finder) (*token.Grant, *fault.Fault) {
	f := found.verdict()
	if f == nil {
		var g *token.Grant
		if g, f = p.o.Tokens.Verify(found.token); f == nil {
			return g, nil
		}
	}
	if found.inSlot() {
		f = f.InSlot()
	}
	return nil, f
}
