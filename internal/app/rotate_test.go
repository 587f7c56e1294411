package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/proxytoken"
)

// n8n is a stand-in for n8n's public API and, beside it, the way on which n8n reaches the gate: a proxy that notes what
// passes.
type n8n struct {
	*httptest.Server
	way *httptest.Server

	mu    sync.Mutex
	order []string
	held  string // the value that it was given last
	does  behaviour
}

// behaviour is how n, and the way to the gate, answer.
type behaviour struct {
	status  int              // what a PATCH is answered with
	atSet   func(v string)   // called while n8n takes the value
	instead http.HandlerFunc // answers on the way in the gate's place; nil: the gate does
}

// change sets how the next requests are answered. A handler of one before may still run.
func (n *n8n) change(set func(*behaviour)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	set(&n.does)
}

func (n *n8n) behaves() behaviour {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.does
}

func (n *n8n) value() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.held
}

func newN8N(t *testing.T) *n8n {
	n := &n8n{does: behaviour{status: 200}}
	n.Server = httptest.NewServer(http.HandlerFunc(n.patch))
	t.Cleanup(n.Close)
	return n
}

// leadsTo opens the way to a gate.
func (n *n8n) leadsTo(t *testing.T, gate string) {
	t.Helper()
	target, err := url.Parse(gate)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	n.way = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.note(r.URL.Path)
		if instead := n.behaves().instead; instead != nil {
			instead(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(n.way.Close)
}

func (n *n8n) note(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.order = append(n.order, what)
}

func (n *n8n) noted() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.order)
}

func (n *n8n) patch(w http.ResponseWriter, r *http.Request) {
	n.note(r.Method)
	var body struct {
		Data struct{ Value string }
	}
	does := n.behaves()
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || does.status != 200 {
		w.WriteHeader(does.status)
		return
	}
	if does.atSet != nil {
		does.atSet(body.Data.Value)
	}
	n.mu.Lock()
	n.held = body.Data.Value
	n.mu.Unlock()
	fmt.Fprint(w, `{"id":"0123456789abcdef","name":"Sallyport","type":"httpHeaderAuth"}`)
}

// pushing is a bed whose token goes into n, and its gate.
func pushing(t *testing.T, n *n8n) (*bed, *app.App) {
	t.Helper()
	b := newBed(t, one(""))
	b.put("n8n-api", "n8n_api_key_value")
	a := b.serve()
	n.leadsTo(t, a.GatewayURL())
	b.write(one("")(b.api.URL) + fmt.Sprintf(`tokens:
  n8n:
    services: [crm]
    rotate: {every: 24h, push: {n8n: {url: %s, gate: %s, api_key: ref+builtin://n8n-api, credential: 0123456789abcdef}}}
`, n.URL, n.way.URL))
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.state = b.open() // as the next command would see it
	return b, a
}

// text is the configuration.
func (b *bed) text() string {
	b.t.Helper()
	text, err := os.ReadFile(b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// states are the states of a token's generations, newest first.
func (b *bed) states(name string) (states []string) {
	b.t.Helper()
	list, err := b.state.Tokens.List(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, g := range list {
		if g.Name == name {
			states = append(states, g.State(time.Now()))
		}
	}
	return states
}

// TestPushOnTheWire: n8n gets the new value after the gate took it, and while both are accepted; then it is tried
// again.
func TestPushOnTheWire(t *testing.T) {
	n := newN8N(t)
	b, a := pushing(t, n)
	atSet := func(value string) {
		for what, one := range map[string]string{"old": b.token, "new": value} {
			if got, err := b.try(a.GatewayURL()+"/s/crm/", one); err != nil || got.status != 200 {
				t.Errorf("while n8n takes it the %s token gets %d %v", what, got.status, err)
			}
		}
	}
	n.change(func(does *behaviour) { does.atSet = atSet })
	result, err := b.state.Rotate(t.Context(), proxytoken.Rotation{Name: "n8n", PushN8N: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/whoami", "PATCH", "/whoami"}, n.noted()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(result.Note, "locked to 127.0.0.1") || !result.Value.IsZero() {
		t.Errorf("the result is %+v", result)
	}
	for what, one := range map[string]string{"old": b.token, "new": n.value()} {
		if got, err := b.try(a.GatewayURL()+"/s/crm/", one); err != nil || got.status != 200 {
			t.Errorf("in the overlap the %s token gets %d %v", what, got.status, err)
		}
	}
	if diff := cmp.Diff([]string{"current", "retiring"}, b.states("n8n")); diff != "" {
		t.Error(diff)
	}
}

// TestPushRefused: n8n says no, and everything is as before.
func TestPushRefused(t *testing.T) {
	n := newN8N(t)
	b, a := pushing(t, n)
	n.change(func(does *behaviour) { does.status = http.StatusForbidden })
	_, err := b.state.Rotate(t.Context(), proxytoken.Rotation{Name: "n8n", PushN8N: true})
	if err == nil || !strings.Contains(err.Error(), "the old token stays valid") || fault.HintOf(err) == "" {
		t.Errorf("got %v with the hint %q", err, fault.HintOf(err))
	}
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
	if diff := cmp.Diff([]string{"revoked", "current"}, b.states("n8n")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/whoami", "PATCH"}, n.noted()); diff != "" {
		t.Error(diff)
	}
}

// TestSchedule rotates what is due and nothing else, by the active configuration and not the one it began with.
func TestSchedule(t *testing.T) {
	n := newN8N(t)
	b, a := pushing(t, n)
	a.RotateDue(t.Context())
	if got := n.noted(); len(got) != 0 {
		t.Errorf("rotated before it is due: %v", got)
	}
	age := func() {
		t.Helper()
		if _, err := b.state.DB.ExecContext(t.Context(), "UPDATE proxy_token SET created = created - $1",
			(25 * time.Hour).Microseconds()); err != nil {
			t.Fatal(err)
		}
		if err := b.state.AdoptAgain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	age()
	a.RotateDue(t.Context())
	if diff := cmp.Diff([]string{"current", "retiring"}, b.states("n8n")); diff != "" {
		t.Error(diff)
	}
	if got, err := b.try(a.GatewayURL()+"/s/crm/", n.value()); err != nil || got.status != 200 {
		t.Errorf("what n8n holds gets %d %v", got.status, err)
	}
	a.RotateDue(t.Context())
	if got := len(n.noted()); got != 3 {
		t.Errorf("rotated again at once: %v", n.noted())
	}
	age()
	n.change(func(does *behaviour) { does.status = http.StatusUnauthorized })
	a.RotateDue(t.Context())
	if !strings.Contains(b.log.String(), "ROTATION FAILED; no token was revoked") {
		t.Errorf("the failure is not loud:\n%s", b.log)
	}
	if strings.Contains(b.log.String(), "spt_") {
		t.Error("a token is in the log")
	}
	if got, err := b.try(a.GatewayURL()+"/s/crm/", n.value()); err != nil || got.status != 200 {
		t.Errorf("after the failure what n8n holds gets %d %v", got.status, err)
	}
}

// TestScheduleAfterExpiry: a token that ran out while its rotation failed stays in metrics, is told of, and is rotated
// as soon as n8n takes it; what a person revoked is not.
func TestScheduleAfterExpiry(t *testing.T) {
	n := newN8N(t)
	b, a := pushing(t, n)
	end := func() {
		t.Helper()
		if _, err := b.state.DB.ExecContext(t.Context(), "UPDATE proxy_token SET expires = created + 1"); err != nil {
			t.Fatal(err)
		}
		if err := b.state.AdoptAgain(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.changed("tokens")
	}
	end()
	b.get(a.GatewayURL()+"/s/crm/").is(t, 407, string(fault.TokenExpired))
	n.change(func(does *behaviour) { does.status = http.StatusUnauthorized })
	a.RotateDue(t.Context())
	if !strings.Contains(b.log.String(), "HAS EXPIRED") {
		t.Errorf("that it has run out is not told:\n%s", b.log)
	}
	b.until("the metrics tell of it", func() bool {
		text := b.get(a.AdminURL() + "/metrics").body
		return strings.Contains(text, `sallyport_token_expiry_seconds{token="n8n"} -`) &&
			strings.Contains(text, `sallyport_rotation_failed_total{token="n8n"} 1`) &&
			strings.Contains(text, `sallyport_rotation_last_success_timestamp_seconds{token="n8n"}`)
	})
	n.change(func(does *behaviour) { does.status = 200 })
	a.RotateDue(t.Context())
	if diff := cmp.Diff([]string{"current", "revoked", "expired"}, b.states("n8n")); diff != "" {
		t.Error(diff)
	}
	if got, err := b.try(a.GatewayURL()+"/s/crm/", n.value()); err != nil || got.status != 200 {
		t.Errorf("what n8n holds gets %d %v", got.status, err)
	}
	end()
	if _, err := b.state.Tokens.Revoke(t.Context(), "n8n"); err != nil {
		t.Fatal(err)
	}
	a.RotateDue(t.Context())
	if got := b.states("n8n")[0]; got != "revoked" {
		t.Errorf("the schedule has made a %s generation of what a person revoked", got)
	}
}

// TestPushIssuesTheFirst: a token that the configuration plans needs no issue before its first push.
func TestPushIssuesTheFirst(t *testing.T) {
	n := newN8N(t)
	b, a := pushing(t, n)
	b.write(strings.Replace(b.text(), "  n8n:\n", "  planned:\n", 1))
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.state = b.open()
	if _, err := b.state.Rotate(t.Context(), proxytoken.Rotation{Name: "planned", PushN8N: true}); err != nil {
		t.Fatal(err)
	}
	if got, err := b.try(a.GatewayURL()+"/s/crm/", n.value()); err != nil || got.status != 200 {
		t.Errorf("what n8n holds gets %d %v", got.status, err)
	}
}

// TestPushNeedsTheGatesAddress: an address to listen on is no address to lock n8n's credential to.
func TestPushNeedsTheGatesAddress(t *testing.T) {
	b := newBed(t, func(url string) string {
		return "insecure: true\n" + strings.Replace(one("")(url), "gateway: 127.0.0.1:0", "gateway: 0.0.0.0:0", 1) +
			"tokens: {n8n: {services: [crm], rotate: {every: 24h, push: {n8n: {cli: [\"false\"], credential: " +
			"Sallyport}}}}}\n"
	})
	b.serve()
	_, err := b.state.Rotate(t.Context(), proxytoken.Rotation{Name: "n8n", PushN8N: true})
	if err == nil || !strings.Contains(fault.HintOf(err), "set `gate`") {
		t.Errorf("got %v with the hint %q", err, fault.HintOf(err))
	}
	if diff := cmp.Diff([]string{"current"}, b.states("n8n")); diff != "" {
		t.Error(diff)
	}
}

// TestPushByCommandLineAlone: an n8n of before 2.3 has no URL to be told at, and needs none.
func TestPushByCommandLineAlone(t *testing.T) {
	n := newN8N(t)
	b := newBed(t, one(""))
	a := b.serve()
	n.leadsTo(t, a.GatewayURL())
	b.write(one("")(b.api.URL) + fmt.Sprintf(`tokens:
  n8n: {services: [crm], rotate: {every: 24h, push: {n8n: {cli: ["false"], gate: %s, credential: 0123456789abcdef}}}}
`, n.way.URL))
	b.state = b.open()
	_, err := b.state.Rotate(t.Context(), proxytoken.Rotation{Name: "n8n", PushN8N: true})
	if err == nil || !strings.Contains(err.Error(), "export:credentials") {
		t.Errorf("got %v, want what became of the command", err)
	}
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
}
