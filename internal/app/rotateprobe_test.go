package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/rotation/proxytoken"
)

// page answers with a page of something that is not Sallyport.
func page(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// own answers as Sallyport answers of its own.
func own(code fault.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		row := fault.Lookup(code)
		w.Header().Set("Proxy-Status", "sallyport; error="+row.ProxyError)
		w.WriteHeader(row.Status)
		fmt.Fprintf(w, `{"code":%q}`, code)
	}
}

// through leads to another path of a gate, or to another gate.
func through(t *testing.T, gate, path string) http.HandlerFunc {
	t.Helper()
	target, err := url.Parse(gate)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	return func(w http.ResponseWriter, r *http.Request) {
		if path != "" {
			r.URL.Path = path
		}
		proxy.ServeHTTP(w, r)
	}
}

// TestProbeBelievesNothingElse: nothing but the gate's word about this very token lets a rotation go on. Whatever else
// answers, n8n is not asked, the old token stays, and a person reads what answered.
func TestProbeBelievesNothingElse(t *testing.T) {
	n := newN8N(t)
	b, a := pushing(t, n)
	b.write(strings.Replace(b.text(), "tokens:\n", fmt.Sprintf(service, "mail", b.api.URL, "")+"tokens:\n", 1))
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.state = b.open()
	other := newBed(t, one("")).serve()
	var leaked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	redirect := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+"/whoami", status) }
	}

	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		is, tip string
	}{
		"200 of a page":           {page(200, "<h1>Welcome \x1b[2J</h1>"), "answered 200, and that is not Sallyport's", "`gate` is"},
		"200 of JSON":             {page(200, `{"token":"0123456789","name":"n8n"}`), "not Sallyport's", "`gate` is"},
		"200 with no id":          {page(200, `{"token":""}`), "not Sallyport's", "`gate` is"},
		"200 of an API":           {through(t, a.GatewayURL(), "/s/crm/whoami"), "a service of the gate answered", "without the path"},
		"200 of an endless page":  {page(200, strings.Repeat("x", 10<<20)), "not Sallyport's", "`gate` is"},
		"204":                     {page(204, ""), "answered 204", "`gate` is"},
		"401 of a proxy":          {page(401, "log in"), "answered 401, and that is not Sallyport's", "in front of the gate"},
		"403 of a firewall":       {page(403, "blocked"), "answered 403, and that is not Sallyport's", "in front of the gate"},
		"403 by scope":            {through(t, a.GatewayURL(), "/s/mail/whoami"), "answered 403 (request_denied)", "without the path of a service"},
		"403 of ours, no details": {own(fault.RequestDenied), "answered 403 (request_denied)", "without the path of a service"},
		"404 of a proxy":          {page(404, "nothing here"), "answered 404, and that is not Sallyport's", "`gate` is"},
		"404 of the gate":         {through(t, a.GatewayURL(), "/s/nothing/whoami"), "answered 404 (service_unknown)", "without the path of a service"},
		"407 of a proxy":          {page(407, ""), "answered 407, and that is not Sallyport's", "in front of the gate"},
		"407 of another gate":     {through(t, other.GatewayURL(), ""), "answered 407 (token_invalid)", "the same database"},
		"407 without the header": {func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("X-Sallyport-Token")
			through(t, a.GatewayURL(), "")(w, r)
		}, "answered 407 (token_missing)", "takes the header"},
		"407 revoked":     {own(fault.TokenRevoked), "answered 407 (token_revoked)", "rotate again"},
		"407 expired":     {own(fault.TokenExpired), "answered 407 (token_expired)", "clocks"},
		"429":             {page(429, ""), "answered 429, and that is not Sallyport's", "in front of the gate"},
		"500":             {own(fault.Internal), "answered 500 (internal)", "says nothing of the token"},
		"502":             {page(502, "Bad Gateway"), "answered 502, and that is not Sallyport's", "in front of the gate"},
		"503 overloaded":  {own(fault.Overloaded), "answered 503 (overloaded)", "says nothing of the token"},
		"503 draining":    {own(fault.Draining), "answered 503 (draining)", "says nothing of the token"},
		"503 no store":    {own(fault.StoreUnavailable), "answered 503 (store_unavailable)", "says nothing of the token"},
		"503 of a proxy":  {page(503, "no backend"), "answered 503, and that is not Sallyport's", "in front of the gate"},
		"an unknown code": {own("\x1b[2J"), "and that is not Sallyport's", "`gate` is"},
		"301":             {redirect(301), "a redirect to \"" + elsewhere.URL + "\"", "set `gate`"},
		"307":             {redirect(307), "a redirect to \"" + elsewhere.URL + "\"", "set `gate`"},
		"308, hostile name": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://\u202eevil/")
			w.WriteHeader(308)
		}, "answered 308", "gate"},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			panic(http.ErrAbortHandler)
		}, "calling the gate", "is the gate running"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(n.noted())
			n.change(func(does *behaviour) { does.instead = c.answer })
			_, err := b.state.Rotate(t.Context(), proxytoken.Rotation{Name: "n8n", PushN8N: true})
			if err == nil || !strings.Contains(err.Error(), c.is) || !strings.Contains(fault.HintOf(err), c.tip) {
				t.Fatalf("got %v with the hint %q, want %q and %q", err, fault.HintOf(err), c.is, c.tip)
			}
			if !strings.Contains(err.Error(), "the old token stays valid") ||
				strings.ContainsAny(err.Error(), "\x1b\u202e") || strings.Contains(err.Error(), "spt_") {
				t.Errorf("got %q", err)
			}
			if got := n.noted()[before:]; slices.Contains(got, "PATCH") {
				t.Errorf("n8n was given the value: %v", got)
			}
			if got := b.states("n8n"); got[0] != "revoked" || got[len(got)-1] != "current" {
				t.Errorf("the generations are %v", got)
			}
			b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
		})
	}
	if leaked.Load() > 0 {
		t.Error("a redirect was followed with the token")
	}
}

// TestProbeFromElsewhere: a token whose networks do not name the address of this process is proved all the same, by the
// refusal.
func TestProbeFromElsewhere(t *testing.T) {
	n := newN8N(t)
	b, a := pushing(t, n)
	b.write(strings.Replace(b.text(), "    services: [crm]\n", "    services: [crm]\n    from: [192.0.2.0/24]\n", 1))
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.state = b.open()
	b.get(a.GatewayURL()+"/whoami").is(t, 403, "from this address")
	if _, err := b.state.Rotate(t.Context(), proxytoken.Rotation{Name: "n8n", PushN8N: true}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/whoami", "PATCH", "/whoami"}, n.noted()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"current", "retiring"}, b.states("n8n")); diff != "" {
		t.Error(diff)
	}
}

// TestProbeFailsAfterSet: when n8n has the value and the second look finds something else, both values go on, and the
// next run takes it to the end.
func TestProbeFailsAfterSet(t *testing.T) {
	n := newN8N(t)
	b, a := pushing(t, n)
	drain := func(string) { n.change(func(does *behaviour) { does.instead = own(fault.Draining) }) }
	n.change(func(does *behaviour) { does.atSet = drain })
	_, err := b.state.Rotate(t.Context(), proxytoken.Rotation{Name: "n8n", PushN8N: true})
	if err == nil || !strings.Contains(err.Error(), "answered 503 (draining)") {
		t.Fatalf("got %v", err)
	}
	for what, one := range map[string]string{"old": b.token, "new": n.value()} {
		if got, err := b.try(a.GatewayURL()+"/s/crm/", one); err != nil || got.status != 200 {
			t.Errorf("the %s token gets %d %v", what, got.status, err)
		}
	}
	n.change(func(does *behaviour) { does.instead, does.atSet = nil, nil })
	result, err := b.state.Rotate(t.Context(), proxytoken.Rotation{Name: "n8n", PushN8N: true})
	if err != nil || !result.Resumed {
		t.Errorf("got %+v, %v", result, err)
	}
	if diff := cmp.Diff([]string{"current", "retiring"}, b.states("n8n")); diff != "" {
		t.Error(diff)
	}
}
