package token_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/token"
)

func TestAllows(t *testing.T) {
	prefixes := func(list ...string) (p []netip.Prefix) {
		for _, s := range list {
			p = append(p, netip.MustParsePrefix(s))
		}
		return p
	}
	r := newRegistry(t, openDB(t, filepath.Join(t.TempDir(), "state.db")), newClock())
	value, _ := issue(t, r, "n8n", token.Scope{}, time.Time{})
	for name, c := range map[string]struct {
		scope           token.Scope
		service, method string
		source          string
		why             string // "" is allowed
	}{
		"nothing":                {token.Scope{}, "openai", "GET", "10.0.0.1", "no service"},
		"named":                  {token.Scope{Services: []string{"lark", "openai"}}, "openai", "DELETE", "2001:db8::1", ""},
		"not named":              {token.Scope{Services: []string{"lark"}}, "openai", "GET", "10.0.0.1", `no service "openai"`},
		"a prefix of the name":   {token.Scope{Services: []string{"open"}}, "openai", "GET", "10.0.0.1", "no service"},
		"every":                  {all, "openai", "GET", "10.0.0.1", ""},
		"a star in the path":     {token.Scope{Services: []string{"lark"}}, "*", "GET", "10.0.0.1", "no service"},
		"method":                 {token.Scope{Services: []string{"*"}, Methods: []string{"get", "POST"}}, "a", "GET", "10.0.0.1", ""},
		"another method":         {token.Scope{Services: []string{"*"}, Methods: []string{"GET"}}, "a", "DELETE", "10.0.0.1", `no method "DELETE"`},
		"method in small":        {token.Scope{Services: []string{"*"}, Methods: []string{"GET"}}, "a", "get", "10.0.0.1", "no method"},
		"inside the network":     {token.Scope{Services: []string{"*"}, From: prefixes("192.168.0.0/16", "10.0.0.0/8")}, "a", "GET", "10.255.0.1", ""},
		"outside":                {token.Scope{Services: []string{"*"}, From: prefixes("10.0.0.0/8")}, "a", "GET", "11.0.0.1", "address"},
		"an IPv4 inside IPv6":    {token.Scope{Services: []string{"*"}, From: prefixes("10.0.0.0/8")}, "a", "GET", "::ffff:10.1.2.3", ""},
		"a network in that form": {token.Scope{Services: []string{"*"}, From: prefixes("::ffff:10.0.0.0/104")}, "a", "GET", "10.1.2.3", ""},
		"a network not masked":   {token.Scope{Services: []string{"*"}, From: prefixes("10.1.2.3/8")}, "a", "GET", "10.9.9.9", ""},
		"IPv6 with a zone":       {token.Scope{Services: []string{"*"}, From: prefixes("fe80::/10")}, "a", "GET", "fe80::1%eth0", ""},
		"no address known":       {token.Scope{Services: []string{"*"}, From: prefixes("0.0.0.0/0", "::/0")}, "a", "GET", "", "address"},
	} {
		t.Run(name, func(t *testing.T) {
			grant, f := r.Verify(value)
			if f != nil {
				t.Fatal(f)
			}
			var source netip.Addr
			if c.source != "" {
				source = netip.MustParseAddr(c.source)
			}
			ok, why := token.NewScopes(map[string]token.Scope{"n8n": c.scope}).Of(grant).Allows(c.service, c.method,
				source)
			if ok != (c.why == "") || ok != (why == "") || !strings.Contains(why, c.why) {
				t.Errorf("got %t, %q; want %q", ok, why, c.why)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	c := newClock()
	r := newRegistry(t, openDB(t, filepath.Join(t.TempDir(), "state.db")), c)
	value, _ := issue(t, r, "n8n", token.Scope{Services: []string{"stored"}}, time.Time{})
	var configured *token.Scopes
	allows := func(service string) bool {
		t.Helper()
		grant, f := r.Verify(value)
		if f != nil {
			t.Fatal(f)
		}
		ok, _ := configured.Of(grant).Allows(service, "GET", netip.Addr{})
		return ok
	}
	if !allows("stored") {
		t.Error("the stored scope does not hold")
	}
	scopes := map[string]token.Scope{"n8n": {Services: []string{"configured"}}}
	configured = token.NewScopes(scopes)
	r.SetScopes(configured)
	scopes["n8n"] = token.Scope{Services: []string{"*"}} // the caller's map is the caller's
	load(t, r)
	if allows("stored") || !allows("configured") || allows("other") {
		t.Error("the configured scope does not stand above the stored one")
	}
	if got := list(t, r)[0].Scope.Services; len(got) != 1 || got[0] != "configured" {
		t.Errorf("listed with services %q, want the active ones", got)
	}
	next, _, err := r.Rotate(t.Context(), "n8n", 0)
	if err != nil {
		t.Fatal(err)
	}
	value = string(next.Reveal())
	if allows("stored") || !allows("configured") {
		t.Error("the configured scope does not hold for the next generation")
	}
	configured = token.NewScopes(nil)
	if !allows("stored") || allows("configured") {
		t.Error("the stored scope does not come back")
	}
}
