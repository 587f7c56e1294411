package boundary

import (
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// scopeHint says where what a token may do is to be seen.
const scopeHint = "the scope of the token decides: `sallyport token list` shows it"

// Authorise decides by the token's scope, then the service's rules. It calls nothing, so `service explain` can use it.
// It returns the rule that decided.
func Authorise(g Scope, svc *service.Service, v *View) (rule string, f *fault.Fault) {
	if ok, why := g.Allows(svc.Name, v.Method, v.Source); !ok {
		return "token scope", fault.New(fault.RequestDenied, why).WithHint(scopeHint)
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
	for _, name := range svc.Beside {
		if f = checkTwin(v.Header, name); f != nil {
			return "header form", f
		}
	}
	if f = authoriseOverrides(g, svc, v); f != nil {
		return "method override", f
	}
	return rule, nil
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
