package token

import (
	"context"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Meet is what both s and o allow. It never allows more than either.
func (s Scope) Meet(o Scope) Scope {
	methods, some := meetMethods(s.Methods, o.Methods)
	from, anywhere := meetNetworks(s.From, o.From)
	met := Scope{Services: meetServices(s.Services, o.Services), Methods: methods, From: from}
	if !some || !anywhere {
		return Scope{Services: []string{}} // an empty list of methods or networks would mean all
	}
	return met
}

func meetServices(a, b []string) []string {
	everyA, everyB := slices.Contains(a, "*"), slices.Contains(b, "*")
	switch {
	case everyA && everyB:
		return []string{"*"}
	case everyA:
		return sorted(b)
	case everyB:
		return sorted(a)
	}
	return sorted(slices.DeleteFunc(slices.Clone(a), func(one string) bool { return !slices.Contains(b, one) }))
}

// meetMethods also tells whether there is any.
func meetMethods(a, b []string) (methods []string, some bool) {
	upper := func(list []string) []string {
		var out []string
		for _, one := range list {
			out = append(out, strings.ToUpper(one))
		}
		return out
	}
	a, b = upper(a), upper(b)
	switch {
	case len(a) == 0 && len(b) == 0:
		return nil, true
	case len(a) == 0:
		return sorted(b), true
	case len(b) == 0:
		return sorted(a), true
	}
	a = slices.DeleteFunc(a, func(one string) bool { return !slices.Contains(b, one) })
	return sorted(a), len(a) > 0
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	if list = slices.Compact(list); list == nil {
		list = []string{}
	}
	return list
}

// meetNetworks also tells whether there is any address.
func meetNetworks(a, b []netip.Prefix) (both []netip.Prefix, some bool) {
	if len(a) == 0 && len(b) == 0 {
		return nil, true
	}
	if len(a) == 0 {
		a, b = b, nil
	}
	for _, one := range a {
		one = unmapped(one)
		if len(b) == 0 {
			both = append(both, one)
		}
		for _, other := range b {
			switch other = unmapped(other); {
			case !one.Overlaps(other):
			case one.Bits() >= other.Bits():
				both = append(both, one)
			default:
				both = append(both, other)
			}
		}
	}
	slices.SortFunc(both, netip.Prefix.Compare)
	return slices.Compact(both), len(both) > 0
}

// same tells whether two scopes allow the same.
func (s Scope) same(o Scope) bool {
	return reflect.DeepEqual(s.Meet(s), o.Meet(o))
}

// Govern is SetScopes in a gate, whose requests these scopes decide. What the configuration narrows stays narrow for
// good: each generation's own scope loses what the configuration's does not have, at once in memory, and in the
// database with Narrow. So a name that leaves the configuration keeps the narrowest scope that it ever had there, until
// SetScope widens it.
func (r *Registry) Govern(scopes *Scopes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scopes, r.governs = scopes, true
	r.swap()
}

// narrowed is the scope that g has of its own, as far as the configurations of this gate have let it. The caller holds
// r.mu.
func (r *Registry) narrowed(g *Generation) Scope {
	scope := g.Scope
	if !r.governs {
		return scope
	}
	if before, ok := r.narrow[g.ID]; ok {
		scope = scope.Meet(before)
	}
	if r.scopes != nil {
		if configured, ok := r.scopes.byName[g.Name]; ok {
			scope = scope.Meet(configured)
		}
	}
	if scope.same(g.Scope) {
		return g.Scope
	}
	return scope
}

// Narrowing is one change of a scope by the configuration.
type Narrowing struct {
	Name string
	ID   string
	From Scope
	To   Scope
}

// Narrowings are those that are not in the database yet.
func (r *Registry) Narrowings() []Narrowing {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Narrowing
	for i := range r.rows {
		g := &r.rows[i]
		if to, ok := r.narrow[g.ID]; ok && !ended(&g.Generation, r.clock()) {
			list = append(list, Narrowing{g.Name, g.ID, g.Scope, to})
		}
	}
	return list
}

func ended(g *Generation, at time.Time) bool {
	state := g.State(at)
	return state == Revoked || state == Expired
}

// Narrow writes into the database what the configuration has narrowed. It announces nothing: other gates have a
// configuration of their own, and read the scopes with the next change.
func (r *Registry) Narrow(ctx context.Context) error {
	list := r.Narrowings()
	if len(list) == 0 {
		return nil
	}
	return r.change(ctx, "narrowing the scope of", list[0].Name, func(t *table) error {
		for _, one := range list {
			g := t.byID(one.ID)
			if g == nil || ended(&g.Generation, t.now) {
				continue
			}
			if err := g.setScope(g.Scope.Meet(one.To)); err != nil {
				return err
			}
			if err := t.save(g); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetScope gives every generation of name that has not ended another scope, a wider one too, and returns how many there
// are. A person answers for it. Errors: ErrUnknown.
func (r *Registry) SetScope(ctx context.Context, name string, scope Scope) (count int, err error) {
	if err := scope.Check(); err != nil {
		return 0, err
	}
	err = r.change(ctx, "setting the scope of", name, func(t *table) error {
		for _, g := range t.named(name) {
			if ended(&g.Generation, t.now) {
				continue
			}
			count++
			if err := g.setScope(scope); err != nil {
				return err
			}
			if err := t.save(g); err != nil {
				return err
			}
		}
		if count == 0 {
			return unknown()
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return count, nil
}
