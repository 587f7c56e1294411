package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/secret"
	"sallyport/internal/secret/seal"
	"sallyport/internal/testkit"
)

var postgres testkit.Postgres

func TestMain(m *testing.M) {
	if path := os.Getenv(gateChild); path != "" {
		if err := gateProcess(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(postgres.Main(m))
}

// bed is a data directory with its configuration, an API behind it, and what commands have: a state of their own.
type bed struct {
	t     testing.TB
	dir   string
	path  string // of sallyport.yaml
	api   *upstream
	state *app.State
	token string
	log   *logText
}

const (
	listen  = "listen: {gateway: 127.0.0.1:0, admin: 127.0.0.1:0}\n"
	service = "  %s: {upstream: %s, credential: {kind: bearer, secret: ref+builtin://crm}, allow_private: " +
		"[127.0.0.1/32]%s}\n"
)

// one is the configuration of one service named crm; more is put into it.
func one(more string) func(url string) string {
	return func(url string) string { return listen + "services:\n" + fmt.Sprintf(service, "crm", url, more) }
}

// newBed makes everything but the gate. text makes the configuration of the API's URL.
func newBed(t testing.TB, text func(url string) string) *bed {
	t.Helper()
	return newBedIn(t, t.TempDir(), text)
}

func newBedIn(t testing.TB, dir string, text func(url string) string) *bed {
	t.Helper()
	b := &bed{t: t, dir: dir, path: filepath.Join(dir, "sallyport.yaml"), api: newUpstream(t), log: &logText{}}
	b.write(text(b.api.URL))
	c := b.load()
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := seal.GenerateKeyFile(c.Seal.KeyFile); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	b.state = b.open()
	b.put("crm", "sk-live-canary-1")
	b.token = b.issue("n8n")
	return b
}

func (b *bed) write(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) load() *config.Config {
	b.t.Helper()
	c, _, err := config.Load(app.Kinds(), b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// open opens a state as a command does.
func (b *bed) open() *app.State {
	b.t.Helper()
	s, err := app.Open(b.t.Context(), b.load())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (b *bed) options() app.Options {
	l := config.NewLoader(app.Kinds(), b.path)
	c, _, err := l.Load()
	if err != nil {
		b.t.Fatal(err)
	}
	return app.Options{
		Config: c, ConfigPath: b.path, Version: "test", Reread: l.Load,
		Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// serve runs a gate until the test is over.
func (b *bed) serve() *app.App {
	b.t.Helper()
	a, err := app.New(b.t.Context(), b.options())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := a.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	var once sync.Once
	b.t.Cleanup(func() { once.Do(func() { _ = a.Stop(context.WithoutCancel(b.t.Context())) }) })
	return a
}

// put, issue and changed do what `secret set` and `token issue` do.
func (b *bed) put(name, value string) {
	b.t.Helper()
	if _, err := b.state.Builtin.Put(b.t.Context(), name, secret.NewValue([]byte(value))); err != nil {
		b.t.Fatal(err)
	}
	b.changed("secrets")
}

func (b *bed) issue(name string) string {
	b.t.Helper()
	value, _, err := b.state.Tokens.Issue(b.t.Context(), name, token.Scope{Services: []string{"*"}}, time.Time{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.changed("tokens")
	return string(value.Reveal())
}

func (b *bed) changed(topic string) {
	b.t.Helper()
	if err := b.state.Changed(b.t.Context(), topic); err != nil {
		b.t.Fatal(err)
	}
}

// answer is what a caller got.
type answer struct {
	status int
	body   string
	header http.Header
}

// is wants a status, and a text in the body.
func (a answer) is(t testing.TB, status int, text string) {
	t.Helper()
	if a.status != status || !strings.Contains(a.body, text) {
		t.Errorf("got %d %q, want %d with %q", a.status, a.body, status, text)
	}
}

// get sends a request as n8n would, over a connection of its own.
func (b *bed) get(url string) answer {
	b.t.Helper()
	got, err := b.try(url, b.token)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func (b *bed) try(url, token string) (answer, error) {
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("X-Sallyport-Token", token)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}).Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(body), resp.Header}, err
}

// until asks again and again until the answer is wanted.
func (b *bed) until(what string, done func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("within a minute it did not happen that %s; the log:\n%s", what, b.log)
		}
	}
}

// upstream is the API. It keeps what arrived, and how many connections were opened.
type upstream struct {
	*httptest.Server
	mu          sync.Mutex
	auth        []string
	connections int
	arrived     chan struct{} // a request for /held is here
	release     chan struct{} // it may go on
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{arrived: make(chan struct{}, 8), release: make(chan struct{})}
	u.Server = httptest.NewUnstartedServer(u)
	u.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			u.mu.Lock()
			u.connections++
			u.mu.Unlock()
		}
	}
	u.Start()
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.auth = append(u.auth, r.Header.Get("Authorization"))
	u.mu.Unlock()
	switch r.URL.Path {
	case "/held":
		u.arrived <- struct{}{}
		<-u.release
	case "/socket":
		u.socket(w)
		return
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	case "/json":
		if !strings.HasPrefix(r.Header.Get("Accept"), "application/json") {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
	case "/download":
		w.Header().Set("Content-Length", "1000000000")
		chunk := make([]byte, 1<<20)
		for range 1000 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		return
	}
	fmt.Fprintln(w, "the API's answer")
}

// socket switches protocols, and holds the connection until the other side ends it.
func (u *upstream) socket(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(io.Discard, c)
}

// last is the Authorization header of the last request.
func (u *upstream) last() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.auth) == 0 {
		return ""
	}
	return u.auth[len(u.auth)-1]
}

func (u *upstream) opened() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.connections
}

// logText keeps a log.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
