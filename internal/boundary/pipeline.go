// Package boundary is the way of a request: the one pipeline that every way in hands over to.
//
// authenticate → route → authorise → resolve → record → inject → dial → scrub → record. Steps 1 to 4 (Decide) are functions
// over a View; steps 5 to 8 (Handle) move bytes. The ways in parse and hand over: they have no checks of their own. Tokens,
// services and credentials are in memory; nothing here touches a database or a store.
//
// Invariant: no credential is on a request before Decide has returned without a fault, and Decide has written its record.
package boundary

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/spool"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// Tokens verifies proxy tokens from memory, in constant time.
type Tokens interface {
	Verify(presented string) (*token.Grant, *fault.Fault)
	Touch(g *token.Grant, workflow string, at time.Time)
}

// Audit is the log that a use must be in before it happens.
type Audit interface {
	Authorise(ctx context.Context, ev *audit.Event) error
	Complete(ev *audit.Event)
	Refuse(ev *audit.Event)
}

// Observer counts. Its methods are called on the hot path and must not block.
type Observer interface {
	Started(service string)
	Finished(o *Outcome)
	Panicked() // once for each panic that was recovered; never on the hot path
}

// Outcome is what became of one request, for metrics.
type Outcome struct {
	Service  string // "" when no service was found
	Code     fault.Code
	Status   int
	Gate     time.Duration
	Upstream time.Duration
	BytesIn  int64
	BytesOut int64
	Scrubbed int

	Renewed   bool // the API said that the credential had expired, and there is a newer one
	Replayed  bool // the request was sent once more, with that or to answer a challenge
	NotResent bool // the API said that the credential had expired, and the request could not be sent once more
}

// Options are what a Pipeline needs.
type Options struct {
	Tokens     Tokens
	Audit      Audit
	Observer   Observer
	Log        *slog.Logger
	InFlight   int64         // requests at once; 0 is no limit
	PerToken   int64         // requests at once with one token; 0 is no limit
	PerService int64         // requests at once to one service without a limit of its own; 0 is no limit
	Kept       *spool.Budget // of the request bodies that may have to be sent again, or are signed; nil is the default
	Now        func() time.Time
}

// Pipeline is the one function every request goes through. It is safe for concurrent use.
type Pipeline struct {
	o        Options
	ids      *idSource
	config   atomic.Pointer[configuration]
	inFlight atomic.Int64
	byToken  shares
	draining atomic.Bool
	sealed   atomic.Pointer[fault.Fault]
	watches  *watches
	live     live

	noUpgrades atomic.Bool

	remembered remembered // the secrets of all services, for what is recorded
}

// New returns a Pipeline without services.
func New(o Options) *Pipeline {
	if o.Kept == nil {
		o.Kept = spool.NewBudget(0, 0)
	}
	p := &Pipeline{o: o, ids: newIDSource(), watches: newWatches()}
	p.Route(Configuration{Services: service.NewTable(nil)})
	return p
}

// Configuration is all of the configuration that decides about a request. It is immutable, and a request loads it once: at
// every instant, one whole configuration decides.
type Configuration struct {
	Services *service.Table
	Scopes   *token.Scopes // of tokens; nil: each has the one that it was issued with
}

// configuration is the active one, and the one that will be, which can only refuse until then.
type configuration struct {
	Configuration

	next *Configuration // nil: none is on its way
}

// Route makes c active for requests that come from now on, and ends those under way that it does not permit. Calls of Route and
// Restrict do not overlap.
func (p *Pipeline) Route(c Configuration) {
	p.config.Store(&configuration{Configuration: c})
	p.Recheck()
}

// Restrict lets next refuse, until Route or Restrict(nil), what it does not permit either, and ends what is under way of that: what
// it tightens does not wait until its credentials are loaded. What it permits and the active one does not stays refused.
func (p *Pipeline) Restrict(next *Configuration) {
	p.config.Store(&configuration{Configuration: p.config.Load().Configuration, next: next})
	p.Recheck()
}

// Services returns the active table.
func (p *Pipeline) Services() *service.Table { return p.config.Load().Services }

// Seal makes the pipeline answer everything with f, before any token is looked at.
func (p *Pipeline) Seal(f *fault.Fault) { p.sealed.Store(f) }

// Drain makes the pipeline answer new requests with the fault Draining.
func (p *Pipeline) Drain() { p.draining.Store(true) }

// Draining tells whether Drain was called.
func (p *Pipeline) Draining() bool { return p.draining.Load() }

// InFlight is the number of requests that are being served.
func (p *Pipeline) InFlight() int64 { return p.inFlight.Load() }

// decide runs steps 1 to 4. What it learns stands in x, also when it refuses.
func (p *Pipeline) decide(ctx context.Context, v *View, x *exchange) *fault.Fault {
	if f := p.admit(v); f != nil {
		return f
	}
	c := p.config.Load()
	svc, known := c.Services.Lookup(v.Service)
	if f := p.authenticate(v, x, svc); f != nil { // step 1
		return f
	}
	if !known {
		return unknownService(p.name(v.Service))
	}
	x.service, x.event.Service, x.event.Host = svc, svc.Name, svc.Host
	x.scope = c.Scopes.Of(x.grant)
	rule, f := Authorise(x.scope, svc, v) // step 2
	if f == nil && c.next != nil {
		rule, f = c.next.refuses(rule, x.grant, v)
	}
	x.event.Rule = rule
	if f != nil {
		return f
	}
	if f = p.enter(x, svc); f != nil {
		return f
	}
	if x.material, f = svc.Credential.Current(ctx); f != nil { // step 3
		return f
	}
	x.event.Secrets = x.material.Versions
	x.mask(x.material.Forms())
	if err := p.o.Audit.Authorise(ctx, &x.event); err != nil { // step 4
		return fault.New(fault.AuditUnavailable, "the audit log cannot be written, so the credential stays here").Wrap(err)
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
func (p *Pipeline) authenticate(v *View, x *exchange, svc *service.Service) *fault.Fault {
	var found finder
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
	if found.rest != v.Path { // the token stood in it
		v.Bare = found.rest == "/" && !strings.HasSuffix(v.Path, "/")
	}
	x.grant, x.presented, x.inSlot, v.Path = g, found.token, found.inSlot(), found.rest
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

// Authorise decides by the token's scope, then the service's rules. It calls nothing, so `service explain` can use it. It
// returns the rule that decided.
func Authorise(g Scope, svc *service.Service, v *View) (rule string, f *fault.Fault) {
	if ok, why := g.Allows(svc.Name, v.Method, v.Source); !ok {
		return "token scope", fault.New(fault.RequestDenied, why).WithHint("the scope of the token decides: `sallyport token list` shows it")
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
