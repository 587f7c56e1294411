package app_test

import (
	"net/url"
	"strings"
	"testing"

	"sallyport/internal/boundary/consent"
	"sallyport/internal/fault"
)

// TestConnectComparesIssuer: whoever waits for the browser, an answer of another provider than the service's brings
// nothing.
func TestConnectComparesIssuer(t *testing.T) {
	for name, o := range map[string]consent.Options{"loopback": {}, "admin listener": {Callback: true}} {
		t.Run(name, func(t *testing.T) {
			b := newDerivedBed(t, "", atServer("crm", refreshing(", issuer: '%[1]s'")))
			gate := b.serve()
			visit := func(address string) { browse(t, address) }
			for _, tt := range []struct {
				iss  []string
				deny bool
				want string
			}{
				{nil, false, "names no issuer"},
				{nil, true, "names no issuer"},
				{[]string{"https://evil.test"}, false, "another issuer"},
				{[]string{"https://evil.test"}, true, "another issuer"},
				{[]string{b.tokens.URL, "https://evil.test"}, false, "more than one issuer"},
				{[]string{b.tokens.URL}, true, "access_denied"},
			} {
				b.tokens.Iss, b.tokens.Deny = tt.iss, tt.deny
				if _, err := b.connect(o, visit); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%q, denied %t: got %v", tt.iss, tt.deny, err)
				}
				b.get(gate.GatewayURL()+"/s/crm/api").is(t, fault.Lookup(fault.CredentialMissing).Status,
					"service connect crm")
			}
			b.wantMinted(0)
			b.tokens.Iss, b.tokens.Deny = []string{b.tokens.URL}, false
			if _, err := b.connect(o, visit); err != nil {
				t.Fatal(err)
			}
			b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
		})
	}
}

// TestCallbackOfEachService: an answer counts only at the redirect URL that the attempt named, and a service can have
// one of its own.
func TestCallbackOfEachService(t *testing.T) {
	b, gate := connectBed(t, "")
	callback := gate.AdminURL() + "/oauth/callback"
	for _, own := range []string{callback + "/crm", callback} {
		wrong := map[string]string{callback: callback + "/crm", callback + "/crm": callback}[own]
		_, err := b.connect(consent.Options{Callback: true, RedirectURL: own}, func(address string) {
			u, err := url.Parse(address)
			if err != nil || u.Query().Get("redirect_uri") != own {
				t.Errorf("the page is at %s (%v)", address, err)
				return
			}
			stolen := "?" + url.Values{"code": {"x"}, "state": {u.Query().Get("state")}}.Encode()
			for _, at := range []string{
				wrong, callback + "/other", callback + "/crm/2", callback + "/",
				callback + "/CRM",
			} {
				if shown := browse(t, at+stolen); !strings.HasPrefix(shown, "404") {
					t.Errorf("%s: the browser shows %q", at, shown)
				}
			}
			if shown := browse(t, address); !strings.HasPrefix(shown, "200") {
				t.Errorf("the browser shows %q", shown)
			}
		})
		if err != nil {
			t.Errorf("%s: %v", own, err)
		}
	}
	b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
	for _, other := range []string{"/other", "/crm/2", "/", "/crm/"} {
		_, err := b.state.Connect(t.Context(),
			"crm", consent.Options{RedirectURL: "https://gate.test/oauth/callback" + other})
		if err == nil || !strings.Contains(err.Error(), "redirect URL") || fault.HintOf(err) == "" {
			t.Errorf("%s: got %v (hint %q)", other, err, fault.HintOf(err))
		}
	}
	for _, good := range []string{
		"/gate/oauth/callback/crm", "/gate/oauth/callback", "/done",
		"/oauth/callback-of-n8n",
	} {
		c, err := b.state.Connect(t.Context(), "crm", consent.Options{RedirectURL: "https://gate.test" + good})
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		_ = c.Close()
	}
}
