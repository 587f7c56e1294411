package token_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/boundary/token"
)

// TestMeetAllowsWhatBothAllow, for random scopes and every request that tells them apart.
func TestMeetAllowsWhatBothAllow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(most int, of ...string) (list []string) {
		for range random.IntN(most + 1) {
			list = append(list, of[random.IntN(len(of))])
		}
		return list
	}
	scope := func() token.Scope {
		return token.Scope{
			Services: pick(3, "a", "b", "c", "*"), Methods: pick(2, "GET", "post", "PUT"),
			From: prefixes(pick(2, "10.0.0.0/8", "10.1.0.0/16", "::ffff:10.1.2.0/120",
				"192.168.0.0/16", "fd00::/8")...),
		}
	}
	for range 3000 {
		a, b := scope(), scope()
		met := a.Meet(b)
		for _, service := range []string{"a", "b", "c", "d"} {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
				for _, address := range []string{
					"10.0.0.1", "10.1.0.1", "10.1.2.3", "192.168.1.1",
					"fd00::1", "8.8.8.8",
				} {
					from := netip.MustParseAddr(address)
					byA, _ := a.Allows(service, method, from)
					byB, _ := b.Allows(service, method, from)
					if got, _ := met.Allows(service, method, from); got != (byA && byB) {
						t.Fatalf("%v met %v is %v, which says %v to %s %s from %s", a, b, met, got,
							method, service, address)
					}
				}
			}
		}
	}
}

// TestNarrowedStaysNarrow: what a configuration has narrowed of a token, in any part of its scope, is gone when the
// configuration does not name it any more, also after a restart and in another gate, until a person widens it.
func TestNarrowedStaysNarrow(t *testing.T) {
	wide := token.Scope{Services: []string{"a", "b"}}
	for name, c := range map[string]struct {
		issued, configured token.Scope
		service, method    string
		source             string // what is refused afterwards
	}{
		"services":       {wide, token.Scope{Services: []string{"a"}}, "b", "GET", "10.0.0.1"},
		"every service":  {all, token.Scope{Services: []string{"a"}}, "b", "GET", "10.0.0.1"},
		"no service":     {wide, token.Scope{}, "a", "GET", "10.0.0.1"},
		"methods":        {wide, token.Scope{Services: []string{"*"}, Methods: []string{"get"}}, "a", "POST", "10.0.0.1"},
		"no method left": {token.Scope{Services: []string{"a"}, Methods: []string{"POST"}}, token.Scope{Services: []string{"a"}, Methods: []string{"GET"}}, "a", "POST", "10.0.0.1"},
		"from":           {wide, token.Scope{Services: []string{"*"}, From: prefixes("10.1.0.0/16")}, "a", "GET", "10.0.0.1"},
		"nowhere left":   {token.Scope{Services: []string{"a"}, From: prefixes("10.0.0.0/8")}, token.Scope{Services: []string{"a"}, From: prefixes("192.168.0.0/16")}, "a", "GET", "10.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			clk := newClock()
			url := filepath.Join(t.TempDir(), "state.db")
			r := newRegistry(t, openDB(t, url), clk)
			value, _ := issue(t, r, "n8n", c.issued, time.Time{})
			var none *token.Scopes
			refused := func(when string, r *token.Registry, want bool) {
				t.Helper()
				grant, f := r.Verify(value)
				if f != nil {
					t.Fatal(f)
				}
				if ok, _ := none.Of(grant).Allows(c.service, c.method, netip.MustParseAddr(c.source)); ok == want {
					t.Errorf("%s: allowed %v", when, ok)
				}
			}
			refused("at first", r, false)
			r.Govern(token.NewScopes(map[string]token.Scope{"n8n": c.configured}))
			r.Govern(none)
			refused("before it is written", r, true)
			if err := r.Narrow(t.Context()); err != nil {
				t.Fatal(err)
			}
			refused("written", r, true)
			other := newRegistry(t, openDB(t, url), clk)
			refused("after a restart", other, true)
			value2, _, err := other.Rotate(t.Context(), "n8n", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			value = string(value2.Reveal())
			refused("in the next generation", other, true)
			load(t, r)
			// a wider configuration holds while it is there
			r.Govern(token.NewScopes(map[string]token.Scope{"n8n": c.issued}))
			if len(r.Narrowings()) != 0 {
				t.Errorf("a wider configuration narrows: %v", r.Narrowings())
			}
			r.Govern(none)
			refused("after a wider configuration", r, true)
			if n, err := r.SetScope(t.Context(), "n8n", c.issued); err != nil || n != 2 {
				t.Fatal(n, err)
			}
			refused("widened by a person", r, false)
		})
	}
}

// TestReplicasWithOtherConfigurations: the narrowest holds, whoever writes last.
func TestReplicasWithOtherConfigurations(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		clk := newClock()
		db := openDB(t, url)
		one, two := newRegistry(t, db, clk), newRegistry(t, openDB(t, url), clk)
		_, _ = issue(t, one, "n8n", all, time.Time{})
		load(t, two)
		one.Govern(token.NewScopes(map[string]token.Scope{"n8n": {Services: []string{"a", "b"}}}))
		two.Govern(token.NewScopes(map[string]token.Scope{"n8n": {Services: []string{"b", "c"}}}))
		for _, r := range []*token.Registry{one, two, one} {
			if err := r.Narrow(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		list, err := newRegistry(t, db, clk).List(t.Context())
		if err != nil || fmt.Sprint(list[0].Scope) != "services=b" {
			t.Errorf("got %v %v", list, err)
		}
	})
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, one := range list {
		out = append(out, netip.MustParsePrefix(one))
	}
	return out
}
