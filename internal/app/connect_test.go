package app_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/boundary/consent"
	"sallyport/internal/fault"
)

// browse does what a browser does with a page of consent at which everybody consents at once, and returns what it shows
// in the end.
func browse(t *testing.T, address string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		t.Errorf("browsing: %v", err)
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.Status + " " + string(body)
}

// connect runs `service connect`, with visit as the person at the browser.
func (b *derivedBed) connect(o consent.Options, visit func(url string)) (*consent.Connected, error) {
	b.t.Helper()
	c, err := b.state.Connect(b.t.Context(), "crm", o)
	if err != nil {
		return nil, err
	}
	visited := make(chan struct{})
	go func() {
		defer close(visited)
		visit(c.URL)
	}()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	got, err := c.Await(ctx)
	<-visited
	return got, err
}

func connectBed(t *testing.T, head string) (*derivedBed, *app.App) {
	t.Helper()
	b := newDerivedBed(t, head, atServer("crm", refreshing("")))
	gate := b.serve()
	got := b.get(gate.GatewayURL() + "/s/crm/api")
	got.is(t, fault.Lookup(fault.CredentialMissing).Status, "sallyport service connect crm")
	return b, gate
}

// TestConnect: a person's consent activates a service in the running gate at once; the tokens are never shown.
func TestConnect(t *testing.T) {
	for name, o := range map[string]consent.Options{"loopback": {}, "admin listener": {Callback: true}} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, head string) {
				b, gate := connectBed(t, head)
				got, err := b.connect(o, func(address string) {
					u, err := url.Parse(address)
					if err != nil || u.Query().Get("code_challenge_method") != "S256" ||
						u.Query().Get("scope") != "offline crm" {
						t.Errorf("the page is at %s (%v)", address, err)
					}
					if shown := browse(t, address); !strings.HasPrefix(shown, "200") ||
						!strings.Contains(shown, "close this page") {
						t.Errorf("the browser shows %q", shown)
					}
				})
				if err != nil || got.Service != "crm" || strings.Join(got.Scopes, " ") != "offline crm" ||
					time.Until(got.Expires) < time.Minute {
					t.Fatalf("got %+v, %v", got, err)
				}
				b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
				b.wantMinted(1) // the token that came with the consent
				b.expireAll()
				b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine") // by the refresh token
				b.wantMinted(2)
				b.wantNoSecret(gate)

				was, err := b.state.Disconnect(t.Context(), "crm")
				if err != nil || !was {
					t.Errorf("disconnecting: %t, %v", was, err)
				}
				b.get(gate.GatewayURL()+"/s/crm/api").is(t, 503, "sallyport service connect crm")
				if was, err := b.state.Disconnect(t.Context(), "crm"); err != nil || was {
					t.Errorf("disconnecting again: %t, %v", was, err)
				}
				if _, err := b.connect(o, func(address string) { browse(t, address) }); err != nil {
					t.Fatal(err)
				}
				b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
			})
		})
	}
}

// TestConnectDenied: the person says no.
func TestConnectDenied(t *testing.T) {
	for name, o := range map[string]consent.Options{"loopback": {}, "admin listener": {Callback: true}} {
		t.Run(name, func(t *testing.T) {
			b, gate := connectBed(t, "")
			b.tokens.Deny = true
			_, err := b.connect(o, func(address string) {
				if shown := browse(t, address); strings.Contains(shown, "access_denied") ||
					!strings.Contains(shown, "close this page") {
					t.Errorf("the browser shows %q", shown)
				}
			})
			if err == nil || !strings.Contains(err.Error(), "access_denied") || fault.HintOf(err) == "" {
				t.Errorf("got %v (hint %q)", err, fault.HintOf(err))
			}
			b.get(gate.GatewayURL()+"/s/crm/api").is(t, 503, "sallyport service connect")
		})
	}
}

// TestCallbackTakesItsOwnAlone: what comes with a state that nobody waits for, or comes twice, is turned away and
// changes nothing.
func TestCallbackTakesItsOwnAlone(t *testing.T) {
	b, gate := connectBed(t, "")
	_, err := b.connect(consent.Options{Callback: true}, func(address string) {
		u, err := url.Parse(address)
		if err != nil {
			t.Error(err)
			return
		}
		callback := gate.AdminURL() + "/oauth/callback?"
		for _, query := range []string{
			"", "code=stolen", "code=stolen&state=guessed",
			"error=access_denied&state=guessed", "code=%3Cscript%3E&state=x",
		} {
			if shown := browse(t, callback+query); !strings.HasPrefix(shown, "404") ||
				strings.Contains(shown, "script") {
				t.Errorf("%q: the browser shows %q", query, shown)
			}
		}
		state := u.Query().Get("state")
		if shown := browse(t, callback+url.Values{
			"code":  {"a code that the provider does not know"},
			"state": {state},
		}.Encode()); !strings.HasPrefix(shown, "400") {
			t.Errorf("the browser shows %q", shown)
		}
		if shown := browse(t, address); !strings.HasPrefix(shown, "404") {
			t.Errorf("with a state that was used: the browser shows %q", shown)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("got %v", err)
	}
	b.get(gate.GatewayURL()+"/s/crm/api").is(t, 503, "sallyport service connect crm")
	b.wantNoSecret(gate)
}

// TestConnectWithoutGate: loopback needs none; the next gate finds what the consent has brought.
func TestConnectWithoutGate(t *testing.T) {
	b := newDerivedBed(t, "", atServer("crm", refreshing("")))
	if _, err := b.connect(consent.Options{Callback: true}, func(string) {}); err == nil ||
		!strings.Contains(err.Error(), "no gate") || fault.HintOf(err) == "" {
		t.Errorf("by a gate that does not run: %v", err)
	}
	if _, err := b.connect(consent.Options{}, func(address string) { browse(t, address) }); err != nil {
		t.Fatal(err)
	}
	gate := b.serve()
	b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
	b.wantMinted(1)
}

// TestConnectAfterRejection: the provider has withdrawn the consent; a new one helps at once.
func TestConnectAfterRejection(t *testing.T) {
	b, gate := connectBed(t, "")
	give := func() {
		t.Helper()
		if _, err := b.connect(consent.Options{}, func(address string) { browse(t, address) }); err != nil {
			t.Fatal(err)
		}
	}
	give()
	state, _, err := b.state.Vault().Load(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	b.tokens.Withdraw(string(state.Refresh.Reveal()))
	b.expireAll()
	got := b.get(gate.GatewayURL() + "/s/crm/api")
	got.is(t, 401, "99991663") // the API's own answer, whole: there is no newer token
	b.get(gate.GatewayURL()+"/s/crm/api").is(t, 503, `"credential_rejected"`)
	give()
	b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
}

// TestConnectRefuses: what cannot be connected says why.
func TestConnectRefuses(t *testing.T) {
	b := newDerivedBed(t, "", atServer("crm", refreshing(""))+atServer("lark", loginCall("")))
	for name, want := range map[string]string{
		"nobody": "no service", "lark": "no credential of kind", "crm/2": "no credential of kind", "crm/x": "no credential of kind",
	} {
		if _, err := b.state.Connect(t.Context(), name, consent.Options{}); err == nil ||
			!strings.Contains(err.Error(), want) || fault.HintOf(err) == "" {
			t.Errorf("%s: got %v (hint %q)", name, err, fault.HintOf(err))
		}
	}
	c, err := b.state.Connect(t.Context(), "crm/1", consent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.state.Disconnect(t.Context(), "lark"); err == nil {
		t.Error("a login call was disconnected")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	c, err = b.state.Connect(t.Context(), "crm", consent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Await(ctx); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("got %v", err)
	}
}
