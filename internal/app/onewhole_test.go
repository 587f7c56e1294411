package app_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/fault"
)

// stuck is a store that does not answer for a while.
type stuck struct {
	outside

	blocked atomic.Bool
	arrived chan struct{}
	release chan struct{}
}

func newStuck(values map[string]string) *stuck {
	s := &stuck{outside: outside{values: values}, arrived: make(chan struct{}, 100), release: make(chan struct{})}
	s.before = func(ctx context.Context) {
		if !s.blocked.Load() {
			return
		}
		s.arrived <- struct{}{}
		select {
		case <-s.release:
		case <-ctx.Done():
		}
	}
	return s
}

const corpStore = "stores: {corp: {kind: vault, address: \"http://127.0.0.1:%d\", auth: {token_env: NONE}, refresh: " +
	"1h}}\n"

// whole is a configuration: services as YAML flow maps without their upstream, and what else there is.
func (b *bed) whole(services map[string]string, more string) string {
	text := listen + "services:\n"
	for name, settings := range services {
		text += fmt.Sprintf("  %s: {upstream: %s, allow_private: [127.0.0.1/32], %s}\n", name, b.api.URL, settings)
	}
	return text + more
}

func bearer(ref string) string { return "credential: {kind: bearer, secret: " + ref + "}" }

// reload begins one, and returns how it ended.
func (b *bed) reload(ctx context.Context, a *app.App, text string) <-chan error {
	b.t.Helper()
	b.write(text)
	done := make(chan error, 1)
	go func() { done <- a.Reload(ctx) }()
	return done
}

// code sends a request, and returns the status, or request_denied.
func (b *bed) code(method, url string) string {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, url, http.NoBody)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-Sallyport-Token", b.token)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}).Do(req)
	if err != nil {
		b.t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	status := resp.Header.Get("Proxy-Status")
	if strings.Contains(status, string(fault.RequestDenied)) {
		return string(fault.RequestDenied)
	}
	return resp.Status[:3]
}

func (b *bed) ended(done <-chan error) error {
	b.t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		b.t.Fatal("the reload does not end")
		return nil
	}
}

// TestNoMixture: of two configurations neither permits what a mixture of them does: the scope of one with the rules,
// the credential, or the store of the other. Requests hammer while reloads go to and fro, with a store that is slow.
func TestNoMixture(t *testing.T) {
	const narrow, wide = "tokens: {n8n: {services: [crm], methods: [GET]}}\n", "tokens: {n8n: {services: [crm]}}\n"
	corp := newStuck(map[string]string{"n8n/far": "far-canary", "n8n/crm": "crm-canary-of-corp"})
	b := newBed(t, one(""))
	open := map[string]string{"crm": bearer("ref+builtin://crm") + ", allow: [\"* /**\"]"}
	ruled := map[string]string{"crm": bearer("ref+corp://n8n/crm") + ", allow: [\"GET /**\"]"}
	first := b.whole(open, narrow+fmt.Sprintf(corpStore, 1))
	b.write(first)
	a := b.serveWith(&corp.outside)
	url := a.GatewayURL() + "/s/crm/x"
	stop := make(chan struct{})
	var hammering sync.WaitGroup
	var passed atomic.Int64
	for range 4 {
		hammering.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := b.code("POST", url); got != string(fault.RequestDenied) {
					t.Errorf("a request that neither configuration permits got %s", got)
					return
				}
				if b.code("GET", url) == "200" {
					passed.Add(1)
				}
			}
		})
	}
	for round := range 6 {
		text := first
		if round%2 == 0 {
			// Another store by each round's address: it is read, slowly, before anything changes.
			text = b.whole(ruled, wide+fmt.Sprintf(corpStore, 2+round))
			corp.blocked.Store(true)
		}
		done := b.reload(t.Context(), a, text)
		if round%2 == 0 {
			<-corp.arrived
			before := passed.Load()
			b.until("requests are served meanwhile", func() bool { return passed.Load() > before+8 })
			corp.blocked.Store(false)
			corp.release <- struct{}{}
		}
		if err := b.ended(done); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	hammering.Wait()
}

// TestTighterAtOnce: while a store is slow, the next configuration refuses already, and permits nothing yet; the
// credentials are those of the old one.
func TestTighterAtOnce(t *testing.T) {
	corp := newStuck(map[string]string{"n8n/far": "far-canary", "n8n/crm": "crm-canary-of-corp"})
	b := newBed(t, one(""))
	crm := bearer("ref+builtin://crm")
	old := b.whole(map[string]string{"crm": crm + ", allow: [\"GET /**\"]", "gone": crm, "out": crm}, "")
	b.write(old)
	a := b.serveWith(&corp.outside)
	at := func(method, path, want string) {
		t.Helper()
		if got := b.code(method, a.GatewayURL()+"/s/"+path); got != want {
			t.Errorf("%s %s: got %s, want %s", method, path, got, want)
		}
	}
	denied, unknown := string(fault.RequestDenied), "404"
	next := b.whole(map[string]string{
		"crm": bearer("ref+corp://n8n/crm") + ", allow: [\"GET,POST /fine/**\"]", "far": bearer("ref+corp://n8n/far"), "out": crm,
	}, "tokens: {n8n: {services: [crm, far]}}\n"+fmt.Sprintf(corpStore, 1))

	corp.blocked.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := b.reload(ctx, a, next)
	<-corp.arrived
	meanwhile := func() {
		t.Helper()
		at("GET", "crm/fine/x", "200")
		if got := b.api.last(); got != "Bearer sk-live-canary-1" {
			t.Errorf("meanwhile the API received %q, want the old credential", got)
		}
		at("GET", "crm/other", denied)   // a rule is tighter
		at("POST", "crm/fine/x", denied) // a rule will be wider
		at("GET", "gone/", unknown)      // a service was taken out
		at("GET", "out/", denied)        // a scope is tighter
		at("GET", "far/", unknown)       // a service is added
	}
	meanwhile()
	b.put("crm", "sk-live-canary-1") // changes of secrets and tokens do not wait
	b.issue("other")
	meanwhile()
	cancel()
	if err := b.ended(done); err == nil {
		t.Error("a reload that was broken off has no error")
	}
	at("GET", "crm/other", "200") // nothing is left of it
	at("GET", "gone/", "200")
	at("GET", "out/", "200")

	// One with errors changes nothing either.
	if err := b.ended(b.reload(t.Context(), a, strings.Replace(next, "allow:", "alow:", 1))); err == nil {
		t.Error("a bad configuration was taken")
	}
	at("GET", "crm/other", "200")

	done = b.reload(t.Context(), a, next)
	b.until("it refuses", func() bool { return b.code("GET", a.GatewayURL()+"/s/crm/other") == denied })
	meanwhile()
	corp.blocked.Store(false)
	close(corp.release)
	if err := b.ended(done); err != nil {
		t.Fatal(err)
	}
	at("POST", "crm/fine/x", "200")
	if got := b.api.last(); got != "Bearer crm-canary-of-corp" {
		t.Errorf("the API received %q, want the new credential", got)
	}
	at("GET", "far/", "200")
	at("GET", "crm/other", denied)
	at("GET", "out/", denied)
}

// TestReloadOverReload: a newer configuration does not wait for what an older one is still loading, and takes its place
// for all who wait.
func TestReloadOverReload(t *testing.T) {
	corp := newStuck(map[string]string{"n8n/far": "far-canary"})
	b := newBed(t, one(""))
	crm := map[string]string{"crm": bearer("ref+builtin://crm")}
	b.write(b.whole(crm, ""))
	a := b.serveWith(&corp.outside)
	corp.blocked.Store(true)
	slow := b.reload(t.Context(), a, b.whole(map[string]string{"far": bearer("ref+corp://n8n/far")},
		fmt.Sprintf(corpStore, 1)))
	<-corp.arrived
	storm := make(chan error, 20)
	b.write(b.whole(map[string]string{"crm": bearer("ref+builtin://crm") + ", allow: [\"GET /fine\"]"}, ""))
	for range cap(storm) {
		go func() { storm <- a.Reload(t.Context()) }()
	}
	for range cap(storm) {
		if err := b.ended(storm); err != nil {
			t.Error(err)
		}
	}
	if err := b.ended(slow); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{
		"crm/fine":  "200",
		"crm/other": string(fault.RequestDenied), "far/": "404",
	} {
		if got := b.code("GET", a.GatewayURL()+"/s/"+path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	close(corp.release)
}

// TestStoreMoved: secrets of a store at its old address are not used with the configuration that has the new one.
func TestStoreMoved(t *testing.T) {
	corp := newStuck(map[string]string{"n8n/far": "far-canary-old"})
	b := newBed(t, one(""))
	far := map[string]string{"far": bearer("ref+corp://n8n/far")}
	b.write(b.whole(far, fmt.Sprintf(corpStore, 1)))
	a := b.serveWith(&corp.outside)
	sent := func() string {
		b.get(a.GatewayURL()+"/s/far/").is(t, 200, "")
		return b.api.last()
	}
	if got := sent(); got != "Bearer far-canary-old" {
		t.Errorf("the API received %q", got)
	}
	corp.blocked.Store(true)
	done := b.reload(t.Context(), a, b.whole(far, fmt.Sprintf(corpStore, 2)))
	<-corp.arrived
	if got := sent(); got != "Bearer far-canary-old" {
		t.Errorf("before the new store has answered, the API received %q", got)
	}
	corp.do(func() { corp.values["n8n/far"] = "far-canary-new" })
	corp.blocked.Store(false)
	close(corp.release)
	if err := b.ended(done); err != nil {
		t.Fatal(err)
	}
	if got := sent(); got != "Bearer far-canary-new" {
		t.Errorf("the API received %q", got)
	}
}
