package token

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Scope is what a token may be used for.
type Scope struct {
	Services []string       `json:"services"`          // names; empty is none, "*" is all
	Methods  []string       `json:"methods,omitempty"` // HTTP methods; empty is all
	From     []netip.Prefix `json:"from,omitempty"`    // source networks; empty is anywhere
}

// String is the scope in one line.
func (s Scope) String() string {
	text := "services=" + strings.Join(s.Services, ",")
	if len(s.Methods) > 0 {
		text += " methods=" + strings.Join(s.Methods, ",")
	}
	var from []string
	for _, network := range s.From {
		from = append(from, network.String())
	}
	if len(from) > 0 {
		text += " from=" + strings.Join(from, ",")
	}
	return text
}

// Check tells what cannot be meant.
func (s Scope) Check() error {
	if slices.Contains(s.Services, "") || slices.Contains(s.Methods, "") {
		return errors.New("a service's or a method's name is empty")
	}
	for _, network := range s.From {
		if !network.IsValid() {
			return errors.New("a source network is not an address with a prefix length, such as 10.0.0.0/8")
		}
	}
	return nil
}

// Rules is a Scope made ready for look-ups. It is never written to after compile.
type Rules struct {
	everyService bool
	services     map[string]struct{}
	methods      map[string]struct{} // nil: every method
	from         []netip.Prefix      // nil: anywhere
}

func compile(s Scope) *Rules {
	r := &Rules{services: make(map[string]struct{}, len(s.Services))}
	for _, service := range s.Services {
		r.everyService = r.everyService || service == "*"
		r.services[service] = struct{}{}
	}
	for _, method := range s.Methods {
		if r.methods == nil {
			r.methods = make(map[string]struct{}, len(s.Methods))
		}
		r.methods[strings.ToUpper(method)] = struct{}{}
	}
	for _, network := range s.From {
		r.from = append(r.from, unmapped(network))
	}
	return r
}

// unmapped turns ::ffff:10.0.0.0/104 into 10.0.0.0/8, as source addresses are unmapped too.
func unmapped(network netip.Prefix) netip.Prefix {
	if network.Addr().Is4In6() && network.Bits() >= 96 {
		return netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96).Masked()
	}
	return network.Masked()
}

// Allows tells whether the scope has service with method from source, and if not, why, in a sentence without anything
// secret in it. It does not allocate when the answer is yes. The order is that of the request's way: service, method,
// source.
func (r *Rules) Allows(service, method string, source netip.Addr) (ok bool, why string) {
	if _, named := r.services[service]; !named && !r.everyService {
		return false, fmt.Sprintf("the token's scope has no service %q", service)
	}
	if r.methods != nil {
		if _, named := r.methods[method]; !named {
			return false, fmt.Sprintf("the token's scope has no method %q", method)
		}
	}
	return r.AllowsFrom(source)
}

// AllowsFrom is the part of Allows that asks for no service.
func (r *Rules) AllowsFrom(source netip.Addr) (ok bool, why string) {
	if r.from != nil && !r.covers(source.Unmap()) {
		return false, "the token may not be used from this address"
	}
	return true, ""
}

func (r *Rules) covers(source netip.Addr) bool {
	return slices.ContainsFunc(r.from, func(network netip.Prefix) bool { return network.Contains(source.WithZone("")) })
}

// Scopes are those that a configuration gives to tokens by their name. They stand above the scope that a token was
// issued with. Immutable, so that whoever holds one decides by one configuration. A nil *Scopes has none.
type Scopes struct {
	byName map[string]Scope
	rules  map[string]*Rules
}

// NewScopes compiles scopes by token name; the map stays the caller's.
func NewScopes(byName map[string]Scope) *Scopes {
	s := &Scopes{byName: maps.Clone(byName), rules: make(map[string]*Rules, len(byName))}
	for name, scope := range byName {
		s.rules[name] = compile(scope)
	}
	return s
}

// Of returns what a verified token may do. It does not allocate.
func (s *Scopes) Of(g *Grant) *Rules {
	if s != nil {
		if r, ok := s.rules[g.Name]; ok {
			return r
		}
	}
	return g.stored
}

// over is the scope of a token of that name that was issued with stored.
func (s *Scopes) over(name string, stored Scope) Scope {
	if s != nil {
		if scope, ok := s.byName[name]; ok {
			return scope
		}
	}
	return stored
}
