package boundary

import (
	"net/http"
	"strings"

	"sallyport/internal/boundary/override"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// anyMethod is a method that only a rule and a scope without methods allow.
const anyMethod = "*"

// authoriseOverrides wants every method that the request names to be allowed, not only its own: in a header, or in the
// query.
func authoriseOverrides(g Scope, svc *service.Service, v *View) *fault.Fault {
	for name, method := range override.Query(v.RawQuery) {
		if !permits(g, svc, v, method) {
			return overridden("the query's parameter ", name)
		}
	}
	if v.Header == nil {
		return nil
	}
	for name, method := range override.Header(v.Header.All()) {
		if !permits(g, svc, v, method) {
			return overridden("the header ", name)
		}
	}
	return nil
}

func permits(g Scope, svc *service.Service, v *View, method string) bool {
	inScope, _ := g.Allows(svc.Name, method, v.Source)
	_, inRules := svc.Permit(method, v.Path)
	return inScope && inRules && !Meaningless(method)
}

// overridden does not quote a name that may hold anything.
func overridden(where, name string) *fault.Fault {
	if !printable(name) || len(name) > 64 {
		name = "of a method"
	}
	return fault.New(fault.RequestDenied, where+name+" asks for a method that is not permitted on this path").
		WithHint("send the request with the method itself, and allow that method in the service's rules and the " +
			"token's scope")
}

// Meaningless tells that a method has no meaning for an API behind the gate: CONNECT opens a tunnel, TRACE and TRACK
// (its other name with Microsoft) send a request's header back, the credential in it. Servers differ in whether they
// read them in lower case.
func Meaningless(method string) bool {
	switch strings.ToUpper(method) {
	case http.MethodConnect, http.MethodTrace, "TRACK":
		return true
	}
	return false
}

// permitsAny tells whether every method is permitted, by this configuration and the one that will be.
func (c *configuration) permitsAny(g *token.Grant, v *View) bool {
	return c.Configuration.permitsAny(g, v) && (c.next == nil || c.next.permitsAny(g, v))
}

func (c *Configuration) permitsAny(g *token.Grant, v *View) bool {
	svc, known := c.Services.Lookup(v.Service)
	return known && permits(c.Scopes.Of(g), svc, v, anyMethod)
}

// unseenBody is the fault of a body that passes without being looked at, as every method was permitted when it began,
// where that is over. A body that no server reads for fields may go on.
func unseenBody(c *configuration, g *token.Grant, v *View) *fault.Fault {
	if c.permitsAny(g, v) || override.NewBody(v.Header.Values("Content-Type"),
		v.Header.Values("Content-Encoding")) == nil {
		return nil
	}
	return fault.New(fault.RequestDenied,
		"not every method is permitted on this path any more, and the body was not looked at for another one").
		WithHint("the configuration was changed while the body was on its way: send the request again")
}

// errOverride is final: of such a field the value is not looked at, since a body is passed on as it comes.
func errOverride() *fault.Fault {
	return fault.New(fault.RequestDenied,
		"a field of the body asks for another method, and not every method is permitted on this path").
		WithHint("send the request with the method itself, or name it in the query (_method), where it can be checked")
}

// printable wants visible ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}
