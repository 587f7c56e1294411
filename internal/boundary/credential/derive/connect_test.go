package derive_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/testkit/tokenserver"
)

func connecting(t testing.TB, s *tokenserver.Server, redirect string) (*derive.Connect, *derive.RefreshToken) {
	t.Helper()
	o := refreshOptions(s, derive.Endpoint{URL: s.URL + "/token", Transport: http.DefaultTransport}, "")
	o.Refresh, o.Scopes = value(""), []string{"offline_access", "b"}
	m := must(derive.NewRefreshToken(o))
	c, err := derive.NewConnect(derive.ConnectOptions{
		AuthorizeURL: s.URL + "/authorize?tenant=1",
		RedirectURL:  redirect, Params: map[string]string{"prompt": "consent"}, For: m,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, m
}

// browse is what the browser does: it opens the page and follows where it is sent.
func browse(t testing.TB, target string) string {
	t.Helper()
	res, err := http.Get(target)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.Status + " " + string(body)
}

func TestConnectByLoopback(t *testing.T) {
	s := tokenserver.Start(t)
	l, err := derive.ListenLoopback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, m := connecting(t, s, l.RedirectURL)
	v := &derive.Memory{}
	source := derive.New(derive.Options{Name: "lark", Minter: m, Vault: v, Owner: v})
	_, err = source.Token(t.Context())
	wantFault(t, err, fault.CredentialMissing, reconnect)

	seen := make(chan string, 1)
	go func() {
		if got := browse(t, l.RedirectURL+"?code=stolen&state=guessed"); !strings.HasPrefix(got, "404") {
			t.Errorf("a callback of someone else: %s", got)
		}
		if got := browse(t, l.RedirectURL+"/../other"); !strings.HasPrefix(got, "404") {
			t.Errorf("another path: %s", got)
		}
		seen <- browse(t, c.URL())
	}()
	code, err := l.Await(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-seen; !strings.HasPrefix(got, "200") || !strings.Contains(got, "close this page") {
		t.Errorf("the browser shows %q", got)
	}
	state, err := c.Exchange(t.Context(), code, c.State())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exchange(t.Context(), code, c.State()); err == nil {
		t.Error("a second exchange succeeds")
	}
	if err := derive.Install(t.Context(), v, v, "lark", state); err != nil {
		t.Fatal(err)
	}
	if err := source.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := source.Token(t.Context())
	if err != nil || !s.Valid(string(got.Secret.Reveal())) {
		t.Fatalf("got %v, %v", got, err)
	}
	s.Expire(string(got.Secret.Reveal()))
	if got, err = source.Expired(t.Context(), got); err != nil || !s.Valid(string(got.Secret.Reveal())) {
		t.Errorf("refreshed: %v, %v", got, err)
	}
}

func TestListenRedirect(t *testing.T) {
	free, err := derive.ListenLoopback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	port := must(url.Parse(free.RedirectURL)).Port()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	registered := "http://localhost:" + port + "/oauth/done"
	l, err := derive.ListenRedirect(t.Context(), registered)
	if err != nil || l.RedirectURL != registered {
		t.Fatalf("got %+v, %v", l, err)
	}
	s := tokenserver.Start(t)
	c, _ := connecting(t, s, l.RedirectURL)
	ended := make(chan error, 1)
	go func() {
		code, err := l.Await(t.Context(), c)
		if err == nil {
			_, err = c.Exchange(t.Context(), code, c.State())
		}
		ended <- err
	}()
	if got := browse(t, "http://127.0.0.1:"+port+"/callback?code=x&state="+c.State()); !strings.HasPrefix(got, "404") {
		t.Errorf("another path: %s", got)
	}
	if got := browse(t, c.URL()); !strings.HasPrefix(got, "200") {
		t.Errorf("the browser shows %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := c.Granted(); !slices.Equal(got, []string{"offline_access", "b"}) {
		t.Errorf("granted %q", got)
	}
	for _, other := range []string{
		"https://localhost:1/x", "http://gate.test:80/x", "http://localhost/x",
		"http://localhost:1", "http://10.0.0.1:1/x", "http://u@localhost:1/x", "http://localhost:1/x?y",
	} {
		if _, err := derive.ListenRedirect(t.Context(), other); err == nil {
			t.Errorf("%s is taken", other)
		}
	}
}

func TestConnectURL(t *testing.T) {
	s := tokenserver.New()
	c, _ := connecting(t, s, "https://gate.test/callback")
	u := must(url.Parse(c.URL()))
	q := u.Query()
	want := map[string]string{
		"tenant": "1", "client_id": "client", "redirect_uri": "https://gate.test/callback", "response_type": "code", "scope": "offline_access b",
		"prompt": "consent", "code_challenge_method": "S256", "state": c.State(),
	}
	for name, value := range want {
		if q.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, q.Get(name), value)
		}
	}
	if len(q.Get("code_challenge")) != 43 || len(c.State()) < 22 || strings.Contains(c.URL(), "canary") {
		t.Errorf("got %s", u.Redacted())
	}
	other, _ := connecting(t, s, "https://gate.test/callback")
	if other.State() == c.State() {
		t.Error("two attempts have one state")
	}
}

func TestConnectRefuses(t *testing.T) {
	s := tokenserver.Start(t)
	c, m := connecting(t, s, "http://127.0.0.1:1/callback")
	for _, given := range []struct{ code, state, want string }{
		{"code", "", "not for this attempt"},
		{"code", "guessed", "not for this attempt"},
		{"", c.State(), "no code"},
		{"guessed", c.State(), "refused: invalid_grant (status 400)"},
	} {
		if _, err := c.Exchange(t.Context(), given.code, given.state); err == nil ||
			!strings.Contains(err.Error(), given.want) {
			t.Errorf("%q: got %v", given.code, err)
		}
	}
	for _, o := range []derive.ConnectOptions{
		{AuthorizeURL: "https://a.test", RedirectURL: "https://b.test"},
		{AuthorizeURL: "javascript:alert(1)", RedirectURL: "https://b.test", For: m},
		{AuthorizeURL: "https://a.test", RedirectURL: "b.test/callback", For: m},
		{AuthorizeURL: "https://a.test", RedirectURL: "https://b.test", For: m, Params: map[string]string{"state": "x"}},
	} {
		if _, err := derive.NewConnect(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// TestConnectWithoutRefreshToken: a token for an hour is of no use alone. One that lasts is used until the API refuses
// it, and then a person has to consent again: nothing is asked of the provider in vain.
func TestConnectWithoutRefreshToken(t *testing.T) {
	for answer, lasts := range map[string]time.Duration{
		`{"access_token":"tok-en","expires_in":3600}`:    0,
		`{"access_token":"tok-en","expires_in":5184000}`: 60 * 24 * time.Hour,
		`{"access_token":"tok-en"}`:                      10 * 365 * 24 * time.Hour,
		`{"access_token":"tok-en","expires_in":0}`:       10 * 365 * 24 * time.Hour,
	} {
		m := must(derive.NewRefreshToken(derive.RefreshTokenOptions{
			Endpoint: derive.Endpoint{URL: "https://tokens.test", Transport: answering{200, nil, answer}},
			Client:   derive.ClientAuth{ID: "client"},
		}))
		c := must(derive.NewConnect(derive.ConnectOptions{
			AuthorizeURL: "https://a.test",
			RedirectURL:  "https://b.test", For: m,
		}))
		state, err := c.Exchange(t.Context(), "code", c.State())
		if lasts == 0 {
			if err == nil || !strings.Contains(fault.HintOf(err), "offline_access") {
				t.Errorf("%s: got %v", answer, err)
			}
			continue
		}
		if left := time.Until(state.Expiry); err != nil || left > lasts || left < lasts-time.Minute {
			t.Errorf("%s: good for %v, %v; want %v", answer, left, err, lasts)
		}
		memory := new(derive.Memory)
		if err := derive.Install(t.Context(), memory, memory, "api", state); err != nil {
			t.Fatal(err)
		}
		source := derive.New(derive.Options{Name: "api", Minter: m, Vault: memory, Owner: memory})
		token, err := source.Token(t.Context())
		if err != nil || string(token.Secret.Reveal()) != "tok-en" {
			t.Errorf("%s: got %v, %v", answer, token, err)
		}
		if _, err := source.Expired(t.Context(), token); !strings.Contains(fault.HintOf(err), "service connect api") {
			t.Errorf("%s: refused by the API: got %v", answer, err)
		}
		source.Close()
	}
}

func TestLoopbackGivesUp(t *testing.T) {
	s := tokenserver.Start(t)
	for want, visit := range map[string]string{
		"access_denied": "error=access_denied",
		"has no code":   "error=%3Cscript%3E", "deadline": "",
	} {
		l, err := derive.ListenLoopback(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, _ := connecting(t, s, l.RedirectURL)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if visit == "" {
				cancel(context.DeadlineExceeded)
				return
			}
			browse(t, l.RedirectURL+"?"+visit+"&state="+c.State())
		}()
		_, err = l.Await(ctx, c)
		<-done
		cancel(nil)
		var refused *derive.RefusalError
		if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, &refused) != (visit != "") {
			t.Errorf("got %v, want %q", err, want)
		}
		if _, err := http.Get(l.RedirectURL); err == nil {
			t.Error("it still listens")
		}
	}
}
