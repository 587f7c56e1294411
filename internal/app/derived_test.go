package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/testkit/tokenserver"
)

// derivedBed is a bed whose services, all with derived credentials, have the token server as their API: its /api takes
// tokens.
type derivedBed struct {
	*bed

	tokens *tokenserver.Server
}

const clientSecret = "client-secret-canary-9b1e"

// service begins a service that has its upstream at the token server.
func atServer(name, credential string) string {
	return "  " + name + ":\n    upstream: %[1]s\n    allow_private: [127.0.0.1/32]\n    test: {path: /api}\n    " +
		"credential: " + credential + "\n"
}

// The credentials, all of which the token server knows.
func clientCredentials() string {
	return "{kind: oauth2_client_credentials, token_url: /token, client_id: basic, client_secret: " +
		"ref+builtin://client, auth: basic}"
}

func loginCall(expired string) string {
	return "{kind: exchange, request: {url: /login, json: {user: n8n, password: ref+builtin://password}}, token: " +
		"/data/token, lifetime: /expire" + expired + "}"
}

func refreshing(more string) string {
	return "{kind: oauth2_refresh_token, token_url: /token, authorize_url: '%[1]s/authorize', client_id: basic, " +
		"client_secret: ref+builtin://client, scopes: [offline, crm]" + more + "}"
}

func newDerivedBed(t *testing.T, head, services string) *derivedBed {
	t.Helper()
	tokens := tokenserver.Start(t)
	tokens.Clients["basic"] = tokenserver.Client{Auth: "basic", Secret: clientSecret}
	tokens.Users["n8n"] = clientSecret
	b := newBed(t, func(string) string {
		return head + listen + "services:\n" + fmt.Sprintf(services+"%[2]s", tokens.URL, "")
	})
	b.put("client", clientSecret)
	b.put("password", clientSecret)
	return &derivedBed{b, tokens}
}

// expireAll ends every access token, as a provider may at any time.
func (b *derivedBed) expireAll() {
	for n := range 200 {
		b.tokens.Expire(fmt.Sprintf("access-token-%d", n))
	}
}

// wantMinted holds the number of tokens that have been minted.
func (b *derivedBed) wantMinted(want int) {
	b.t.Helper()
	if r := b.tokens.Record(); r.Minted != want || r.Reused > 0 || r.Overlaps > 0 {
		b.t.Errorf("the token server says %+v, want %d minted, none twice at once, none reused", r, want)
	}
}

// wantNoSecret searches everything that a gate leaves behind.
func (b *derivedBed) wantNoSecret(gate *app.App) {
	b.t.Helper()
	places := map[string]string{
		"log": b.log.String(), "metrics": b.scrape(gate),
		"readyz": b.fetch(gate.AdminURL() + "/readyz"),
	}
	record, err := os.ReadFile(b.load().Audit.File)
	if err != nil {
		b.t.Fatal(err)
	}
	places["audit"] = string(record)
	for place, text := range places {
		for _, canary := range []string{"access-token-", "refresh-token-", clientSecret, "code-"} {
			if at := strings.Index(text, canary); at >= 0 {
				b.t.Errorf("%s has %q in it: …%s", place, canary, text[max(0, at-100):min(len(text), at+60)])
			}
		}
	}
}

func (b *bed) fetch(url string) string {
	b.t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(body)
}

func (b *bed) scrape(gate *app.App) string { return b.fetch(gate.AdminURL() + "/metrics") }

func pemKey(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestDerivedKinds: each kind mints once, is used from memory, and is obtained again once when the API says that it has
// expired.
func TestDerivedKinds(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for kind, credential := range map[string]string{
		"client credentials": clientCredentials(),
		"private_key_jwt":    "{kind: oauth2_client_credentials, token_url: /token, client_id: signs, auth: private_key_jwt, key: ref+builtin://ec}",
		"refresh token":      refreshing(", refresh_token: ref+builtin://refresh"),
		"jwt bearer":         "{kind: jwt_bearer, token_url: /token, issuer: issuer, key: ref+builtin://ec}",
		"service account":    "{kind: jwt_bearer, service_account: ref+builtin://account, scopes: [crm]}",
		"github app":         "{kind: github_app, api_url: '%[1]s', app_id: '12345', installation_id: '678', key: ref+builtin://rsa}",
		"exchange":           loginCall(""),
		"in a header":        loginCall(", place: {kind: header, header: Authorization, format: 'Bearer {secret}'}"),
	} {
		t.Run(kind, func(t *testing.T) {
			b := newDerivedBed(t, "", atServer("crm", credential))
			b.tokens.Clients["signs"] = tokenserver.Client{Auth: "private_key_jwt", Key: ecKey.Public()}
			b.tokens.Issuers["issuer"] = ecKey.Public()
			b.tokens.Issuers["n8n@project.iam.example"] = rsaKey.Public()
			b.tokens.App, b.tokens.Issuers["12345"] = "12345", rsaKey.Public()
			account, err := json.Marshal(map[string]string{
				"type": "service_account", "client_email": "n8n@project.iam.example", "private_key": pemKey(t, rsaKey), "token_uri": b.tokens.URL + "/token",
			})
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{
				"ec": pemKey(t, ecKey), "rsa": pemKey(t, rsaKey),
				"account": string(account), "refresh": b.tokens.Grant("basic"),
			} {
				b.put(name, value)
			}
			gate := b.serve()
			for range 5 {
				b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
			}
			b.wantMinted(1)
			b.expireAll()
			for range 5 {
				b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
			}
			b.wantMinted(2)
			metrics := b.scrape(gate)
			for _, want := range []string{
				`sallyport_derived_token_minted_total{service="crm"} 2`,
				`sallyport_derived_token_healthy{service="crm"} 1`,
				`sallyport_derived_token_expiry_seconds{service="crm"}`,
			} {
				if !strings.Contains(metrics, want) {
					t.Errorf("the metrics have no %s", want)
				}
			}
			b.wantNoSecret(gate)
		})
	}
}

// TestExpiredByBody is Lark's way: status 200, and a code in the body. One refresh for all who call, and nobody sees
// the code.
func TestExpiredByBody(t *testing.T) {
	b := newDerivedBed(t, "", atServer("lark", loginCall(", expired_when: {body: {pointer: /code, in: [99991663]}}")))
	gate := b.serve()
	call := gate.GatewayURL() + "/s/lark/api?quiet"
	b.get(call).is(t, 200, `"code":0`)
	for round := range 3 {
		b.expireAll()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				got, err := b.try(call, b.token)
				if err != nil || got.status != 200 || !strings.Contains(got.body, `"code":0`) {
					t.Errorf("round %d: got %d %q, %v", round, got.status, got.body, err)
				}
			})
		}
		wg.Wait()
		b.wantMinted(2 + round)
	}
	b.wantNoSecret(gate)
}

// TestProviderRefuses: what a caller is told names the provider's code, and nothing of its answer; the next minute is
// not spent asking again and again.
func TestProviderRefuses(t *testing.T) {
	b := newDerivedBed(t, "", atServer("crm", clientCredentials()))
	b.put("client", "not-the-secret")
	gate := b.serve()
	for range 10 {
		got := b.get(gate.GatewayURL() + "/s/crm/api")
		got.is(t, fault.Lookup(fault.CredentialMintFailed).Status, `"credential_mint_failed"`)
		if !strings.Contains(got.body, "invalid_client") || strings.Contains(got.body, "test server") ||
			got.header.Get("Retry-After") == "" {
			t.Errorf("got %s (Retry-After %q)", got.body, got.header.Get("Retry-After"))
		}
	}
	if calls := b.tokens.Record().Calls; calls > 4 {
		t.Errorf("the provider was asked %d times", calls)
	}
	if metrics := b.scrape(gate); !strings.Contains(metrics, `sallyport_credential_valid{service="crm"} 0`) ||
		!strings.Contains(metrics,
			`sallyport_derived_token_failed_total{code="credential_mint_failed",service="crm"}`) {
		t.Error("the metrics do not tell")
	}
	if ready := b.fetch(gate.AdminURL() + "/readyz"); !strings.Contains(ready, `"ready":true}`) ||
		!strings.Contains(ready, `{"part":"token of crm","ready":true,"why":"credential_mint_failed: `) {
		t.Errorf("one service's failure is not told, or makes the gate unready: %s", ready)
	}
	if failures, err := app.Failures(t.Context(), b.load()); err != nil ||
		failures["crm"].Code != fault.CredentialMintFailed {
		t.Errorf("the gate tells commands %v, %v", failures, err)
	}
	b.put("client", clientSecret) // a changed secret makes a new Source, which has no failure to wait for
	b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
	b.wantNoSecret(gate)
}

// TestChangedSecretMintsAnew: a token that was made with another secret is not used any more.
func TestChangedSecretMintsAnew(t *testing.T) {
	b := newDerivedBed(t, "", atServer("lark", loginCall(""))+atServer("other", clientCredentials()))
	gate := b.serve()
	b.get(gate.GatewayURL()+"/s/lark/api").is(t, 200, "fine")
	b.get(gate.GatewayURL()+"/s/other/api").is(t, 200, "fine")
	b.wantMinted(2)
	b.put("unrelated", "another secret of the same store")
	b.get(gate.GatewayURL()+"/s/lark/api").is(t, 200, "fine")
	b.wantMinted(2)
	b.put("password", "another password, which the server does not know")
	b.get(gate.GatewayURL()+"/s/lark/api").is(t, 503, "credential_mint_failed")
	b.get(gate.GatewayURL()+"/s/other/api").is(t, 200, "fine")
	b.wantMinted(2)
}

// TestHangingProviderHoldsUpNobodyElse: a token endpoint that never answers is its own service's failure.
func TestHangingProviderHoldsUpNobodyElse(t *testing.T) {
	onBoth(t, func(t *testing.T, head string) {
		b := newDerivedBed(t, head, atServer("good", clientCredentials())+atServer("hangs", loginCall("")))
		gate := b.serve()
		b.get(gate.GatewayURL()+"/s/good/api").is(t, 200, "fine")
		b.tokens.Misbehave(tokenserver.Hang)
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		defer waiting.Wait()
		defer cancel()
		for range 30 {
			waiting.Go(func() {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, gate.GatewayURL()+"/s/hangs/api", nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("X-Sallyport-Token", b.token)
				if resp, err := http.DefaultClient.Do(req); err == nil {
					resp.Body.Close()
				}
			})
		}
		b.until("the provider hangs", func() bool { return b.tokens.Record().Calls == 2 })
		b.expireAll()
		before := time.Now()
		b.get(gate.GatewayURL()+"/s/good/api").is(t, 200, "fine") // minted again, while the other hangs
		b.put("unrelated", "a change that all gates hear of")
		b.get(gate.GatewayURL()+"/s/good/api").is(t, 200, "fine")
		if took := time.Since(before); took > 10*time.Second {
			t.Errorf("the other service took %v", took)
		}
		cancel()
		b.tokens.HangUp()
	})
}

// TestRestartKeepsTheToken: the next process uses what the one before has minted, and asks nobody.
func TestRestartKeepsTheToken(t *testing.T) {
	onBoth(t, func(t *testing.T, head string) {
		b := newDerivedBed(t, head,
			atServer("lark", loginCall(""))+atServer("crm", refreshing(", refresh_token: ref+builtin://refresh")))
		b.put("refresh", b.tokens.Grant("basic"))
		for round := range 3 {
			gate, err := app.New(t.Context(), b.options())
			if err != nil {
				t.Fatal(err)
			}
			if err := gate.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"lark", "crm"} {
				b.get(gate.GatewayURL()+"/s/"+name+"/api").is(t, 200, "fine")
			}
			b.wantMinted(2)
			if err := gate.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
	})
}

// TestReloadKeepsTheToken: a service that is configured again goes on with its token; one that is gone stops minting.
func TestReloadKeepsTheToken(t *testing.T) {
	services := atServer("lark", loginCall(""))
	b := newDerivedBed(t, "", services)
	gate := b.serve()
	b.get(gate.GatewayURL()+"/s/lark/api").is(t, 200, "fine")
	b.write(listen + "services:\n" + fmt.Sprintf(services, b.tokens.URL) + "    limits: {concurrency: 7}\n")
	if err := gate.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.get(gate.GatewayURL()+"/s/lark/api").is(t, 200, "fine")
	b.wantMinted(1)
	b.write(listen + "services: {}\n")
	if err := gate.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if metrics := b.scrape(gate); strings.Contains(metrics, "sallyport_derived_token_expiry_seconds{") {
		t.Error("the token of a service that is gone is still kept fresh")
	}
}

// TestMintIsOnRecord: what the gate sends to a token endpoint is on record before what it sends to the API, and so is
// what a command sends.
func TestMintIsOnRecord(t *testing.T) {
	b := newDerivedBed(t, "", atServer("crm", clientCredentials()))
	s := b.open()
	if _, _, err := s.Service(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	gate := b.serve()
	b.expireAll()
	b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
	b.wantMinted(2)
	record, err := os.ReadFile(b.load().Audit.File)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for line := range strings.Lines(string(record)) {
		var r struct{ Event, Actor, Action, Subject string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Action == "token.mint" && r.Subject == "crm" {
			r.Event = "mint by " + r.Actor
		}
		if r.Event == "authorised" || strings.HasPrefix(r.Event, "mint") {
			order = append(order, r.Event)
		}
	}
	if got := strings.Join(order, ", "); got != "mint by command, authorised, mint by gate, authorised" {
		t.Errorf("on record is: %s", got)
	}
	b.wantNoSecret(gate)
}

// TestProxySecretStays: what the proxy is told does not come back either.
func TestProxySecretStays(t *testing.T) {
	b := newDerivedBed(t, "", atServer("crm", "{kind: bearer, secret: ref+builtin://client}")+
		"    proxy: http://127.0.0.1:9\n    proxy_secret: ref+builtin://proxy\n")
	b.put("proxy", "gate:proxy-password-canary")
	_, m, err := b.open().Service(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	if got, n := m.Forms().String("gate:proxy-password-canary proxy-password-canary"); n != 2 {
		t.Errorf("got %q", got)
	}
}
