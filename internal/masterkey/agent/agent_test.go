package agent_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/agent"
	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/secret"
)

const (
	key   = "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6"
	nonce = "0123456789abcdef"
	token = "a-token-of-the-agents"
)

func value(s string) secret.Value { return secret.NewValue([]byte(s)) }

func inspect(_ context.Context, nonce string) masterkey.Local {
	return masterkey.Inspect(func(name string) (string, bool) {
		return map[string]string{"N8N_ENCRYPTION_KEY": key, "HOME": "/nonexistent"}[name], name != "N8N_USER_FOLDER"
	}, nonce)
}

func handler() http.Handler {
	return agent.Handler(agent.Options{Token: value(token), Inspect: inspect})
}

func call(h http.Handler, method, path, authorization, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	const ask, bearer = `{"nonce": "` + nonce + `"}`, "Bearer " + token
	for title, c := range map[string]struct {
		method, path, authorization, body string
		want                              int
	}{
		"right":             {"POST", nodes.FingerprintPath, bearer, ask, 200},
		"alive":             {"GET", "/healthz", "", "", 200},
		"no token":          {"POST", nodes.FingerprintPath, "", ask, 401},
		"another token":     {"POST", nodes.FingerprintPath, "Bearer " + token + "x", ask, 401},
		"a part of it":      {"POST", nodes.FingerprintPath, "Bearer " + token[:8], ask, 401},
		"no bearer":         {"POST", nodes.FingerprintPath, token, ask, 401},
		"empty":             {"POST", nodes.FingerprintPath, "Bearer ", ask, 401},
		"a short nonce":     {"POST", nodes.FingerprintPath, bearer, `{"nonce": "short"}`, 400},
		"a long nonce":      {"POST", nodes.FingerprintPath, bearer, `{"nonce": "` + strings.Repeat("x", 200) + `"}`, 400},
		"no nonce":          {"POST", nodes.FingerprintPath, bearer, `{}`, 400},
		"no JSON":           {"POST", nodes.FingerprintPath, bearer, `nonce`, 400},
		"a long question":   {"POST", nodes.FingerprintPath, bearer, `{"nonce": "` + nonce + `", "x": "` + strings.Repeat("x", 4000) + `"}`, 400},
		"another method":    {"GET", nodes.FingerprintPath, bearer, ask, 405},
		"something else":    {"GET", "/metrics", bearer, "", 404},
		"the root":          {"GET", "/", bearer, "", 404},
		"writing to health": {"POST", "/healthz", bearer, "", 405},
	} {
		t.Run(title, func(t *testing.T) {
			w := call(handler(), c.method, c.path, c.authorization, c.body)
			if w.Code != c.want {
				t.Errorf("status %d, want %d", w.Code, c.want)
			}
			if body := w.Body.String(); strings.Contains(body, key) || c.want != 200 &&
				strings.Contains(body, "fingerprint") {
				t.Errorf("it answers %s", body)
			}
		})
	}
	if w := call(agent.Handler(agent.Options{Inspect: inspect}), "POST", nodes.FingerprintPath, "Bearer ",
		ask); w.Code != 401 {
		t.Errorf("an agent without a token answers %d", w.Code)
	}
}

// TestRate: wrong tokens are refused faster than they can be tried, and do not keep the right one out.
func TestRate(t *testing.T) {
	h := handler()
	count := func(authorization string) (limited int) {
		for range 200 {
			w := call(h, "POST", nodes.FingerprintPath, authorization, `{"nonce": "`+nonce+`"}`)
			if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") != "" {
				limited++
			}
		}
		return limited
	}
	if count("Bearer wrong") == 0 {
		t.Error("200 wrong tokens are looked at")
	}
	if w := call(h, "POST", nodes.FingerprintPath, "Bearer "+token, `{"nonce": "`+nonce+`"}`); w.Code != 200 {
		t.Errorf("the right token gets %d", w.Code)
	}
	if count("Bearer "+token) == 0 {
		t.Error("200 questions are answered at once")
	}
}

// TestAsking asks agents as `key verify` does.
func TestAsking(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = agent.Server(agent.Options{Token: value(token), Inspect: inspect})
	server.StartTLS()
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") == "Bearer "+token+"-redirect":
			http.Redirect(w, r, server.URL+nodes.FingerprintPath, http.StatusTemporaryRedirect)
		case r.Header.Get("Authorization") == "Bearer "+token+"-garbage":
			_, _ = w.Write([]byte(key))
		default:
			_ = json.NewEncoder(w).Encode(inspect(r.Context(), "an-older-nonce-of-someone"))
		}
	}))
	defer elsewhere.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for title, c := range map[string]struct {
		url, token string
		roots      *x509.CertPool
		workflow   string
		want       string
	}{
		"right":            {server.URL, token, trusted, "", ""},
		"a wrong token":    {server.URL, token + "x", trusted, "", "refuses the token"},
		"an unknown CA":    {server.URL, token, x509.NewCertPool(), "", "certificate"},
		"a workflow":       {server.URL, token, trusted, "1", "executes no workflow"},
		"nobody":           {closed.URL, token, nil, "", "cannot be reached"},
		"a redirect":       {elsewhere.URL, token + "-redirect", trusted, "", "status 307"},
		"something else":   {elsewhere.URL, token + "-garbage", nil, "", "is not what"},
		"an old answer":    {elsewhere.URL, token, nil, "", "another nonce"},
		"what is no agent": {strings.Replace(elsewhere.URL, "http:", "https:", 1), token, nil, "", "cannot be reached"},
	} {
		t.Run(title, func(t *testing.T) {
			node, err := nodes.ParseNode("a="+c.url, nodes.Agents{Token: value(c.token), Roots: c.roots})
			if err != nil {
				t.Fatal(err)
			}
			a := nodes.AskAll(t.Context(), []nodes.Node{node}, nodes.Question{
				Nonce: nonce, Workflow: c.workflow,
				Timeout: time.Minute,
			}, 1)[0]
			switch {
			case c.want == "":
				if used, ok := a.Local.Used(); a.Err != nil || !ok ||
					used.Fingerprint != masterkey.Fingerprint(value(key), nonce) {
					t.Errorf("got %+v, %v", a.Local, a.Err)
				}
			case a.Err == nil || !strings.Contains(a.Err.Error(), c.want) || fault.HintOf(a.Err) == "":
				t.Errorf("got %v (hint %q), want %q", a.Err, fault.HintOf(a.Err), c.want)
			case strings.Contains(a.Err.Error()+fault.HintOf(a.Err), token), strings.Contains(a.Err.Error(), key):
				t.Errorf("%v tells a secret", a.Err)
			}
		})
	}
}
