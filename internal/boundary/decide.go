package boundary

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// decision is what steps 1 to 4 found out about a request. It is written in this file alone, and by nobody once decide
// has returned: what comes later reads it, and writes its result.
type decision struct {
	view       *View // what was decided about: the caller's, without the token where that stood in the path
	grant      *token.Grant
	scope      Scope  // of grant, by the configuration that decided
	presented  string // the token, for the check that it leaves nowhere
	inSlot     bool   // where the API's own key would stand
	service    *service.Service
	authorised bool // all of it is permitted, and on record
}

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
	if !known {
		return unknownService(p.name(x.view.Service))
	}
	x.service, x.event.Service, x.event.Host = svc, svc.Name, svc.Host
	if f := c.authorise(x); f != nil { // step 2
		return f
	}
	f := p.enter(x, svc)
	if f != nil {
		return f
	}
	if x.material, f = svc.Credential.Current(ctx); f != nil { // step 3
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

// refuses returns the fault of a request that the active configuration permits by rule and this one does not.
func (c *Configuration) refuses(rule string, g *token.Grant, v *View) (decided string, f *fault.Fault) {
	svc, known := c.Services.Lookup(v.Service)
	if !known {
		return "", unknownService(v.Service)
	}
	if decided, f = Authorise(c.Scopes.Of(g), svc, v); f != nil {
		return decided, f
	}
	return rule, nil
}

// unknownService names what was asked for if it could be a name at all.
func unknownService(name string) *fault.Fault {
	if !service.ValidName(name) {
		return fault.New(fault.ServiceUnknown, "the path does not begin with /s/ and the name of a service")
	}
	return fault.New(fault.ServiceUnknown, "there is no service \""+name+"\"")
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

// Scope is what authorisation asks of a verified token.
type Scope interface {
	Allows(service, method string, source netip.Addr) (ok bool, why string)
}

// Authorise decides by the token's scope, then the service's rules. It calls nothing, so `service explain` can use it.
// It returns the rule that decided.
func Authorise(g Scope, svc *service.Service, v *View) (rule string, f *fault.Fault) {
	if ok, why := g.Allows(svc.Name, v.Method, v.Source); !ok {
		return "token scope", fault.New(fault.RequestDenied,
			why).WithHint("the scope of the token decides: `sallyport token list` shows it")
	}
	if why := service.CheckPath(v.Path, svc.Paths); why != "" {
		return "path form", fault.New(fault.RequestMalformed, why)
	}
	if why := service.CheckQuery(v.RawQuery); why != "" {
		return "query form", fault.New(fault.RequestMalformed, why)
	}
	rule, ok := svc.Permit(v.Method, v.Path)
	if !ok {
		return rule, fault.New(fault.RequestDenied, "no allow rule of the service permits this method on this path")
	}
	for i := range svc.Slots {
		if f = checkTwin(v.Header, svc.Slots[i].Header); f != nil {
			return "header form", f
		}
	}
	if f = authoriseOverrides(g, svc, v); f != nil {
		return "method override", f
	}
	return rule, nil
}
