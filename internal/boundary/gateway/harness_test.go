package gateway_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/gateway"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/spool"
	"sallyport/internal/boundary/token"
	"sallyport/internal/boundary/wire"
	"sallyport/internal/config"
	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
	"sallyport/internal/secret"
)

// canary is the secret of this run. It has characters that URLs, JSON and base64 write differently.
var canary = "cnry+" + randomHex() + "/" + randomHex() + "="

// derived is the derived token number n of this run.
func derived(n int) string {
	return fmt.Sprintf("tk%d+%s=", n, strings.Replace(canary[5:], "/", "/"+strconv.Itoa(n)+"/", 1))
}

func randomHex() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// tokens are the proxy tokens of this run, by what they are; all come from one real registry.
var tokens struct {
	registry *token.Registry
	value    map[string]string
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gateway-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := database.Open(context.Background(), filepath.Join(dir, "state.db"))
	if err == nil {
		err = db.Migrate(context.Background())
	}
	if err == nil {
		err = issue(db)
	}
	if err != nil {
		panic(err)
	}
	defer db.Close()
	return m.Run()
}

func issue(db *database.DB) error {
	ctx, now := context.Background(), time.Now()
	offset := -2 * time.Hour // the expired token was issued two hours ago
	tokens.registry = token.NewRegistry(db, bytes.Repeat([]byte{7}, 32), func() time.Time {
		return time.Now().Add(offset)
	})
	if err := tokens.registry.Load(ctx); err != nil {
		return err
	}
	tokens.value = make(map[string]string)
	all := token.Scope{Services: []string{"*"}}
	for name, c := range map[string]struct {
		scope   token.Scope
		expires time.Time
	}{
		"good": {scope: all}, "other": {scope: all}, "revoked": {scope: all}, "expired": {all, now.Add(-time.Hour)},
		"elsewhere": {scope: token.Scope{Services: []string{"another"}}},
		"get":       {scope: token.Scope{Services: []string{"*"}, Methods: []string{"GET"}}},
		"far":       {scope: token.Scope{Services: []string{"*"}, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}},
	} {
		v, g, err := tokens.registry.Issue(ctx, name, c.scope, c.expires)
		if err != nil {
			return err
		}
		tokens.value[name] = string(v.Reveal())
		if name == "revoked" {
			if _, err := tokens.registry.Revoke(ctx, g.ID); err != nil {
				return err
			}
		}
	}
	offset = 0
	return nil
}

// output collects bytes from several goroutines.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// gate is a whole gateway on loopback. When its test ends, everything it ever gave out is searched for the canary and
// tokens.
type gate struct {
	testing.TB
	addr     string
	pipeline *boundary.Pipeline
	gateway  *gateway.Gateway
	metrics  *monitor.Metrics
	log      *audit.Log
	auditAt  string
	logs     output // what the process would log
	seen     output // what callers received
	outcomes chan boundary.Outcome
	panics   atomic.Int64
	mayPanic bool
	complain bool   // net/http may
	errors   output // net/http's complaints, by kind
	stopOnce sync.Once
	served   chan struct{}
}

// options of a gate; the zero value is fine.
type options struct {
	inFlight             int64
	perToken, perService int64
	audit                boundary.Audit // instead of a real log
	secret               string         // instead of the canary
	maxHead              int
	connections          wire.Limit
	tls                  *tls.Config
	tokens               func(real boundary.Tokens) boundary.Tokens
	kept                 *spool.Budget
	mayPanic             bool
	writer               func(http.ResponseWriter) http.ResponseWriter // between the pipeline and the gateway
	// instead of one static secret for each credential
	parts func(*service.Service) []credential.Part
}

// newGate serves the services that yaml (the content of `services:`) describes.
func newGate(t testing.TB, yaml string, o options) *gate {
	t.Helper()
	g := &gate{
		TB: t, outcomes: make(chan boundary.Outcome, 10_000), served: make(chan struct{}),
		metrics: monitor.New("test"), mayPanic: o.mayPanic,
	}
	log := slog.New(slog.NewTextHandler(&g.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	use := o.audit
	if use == nil {
		g.auditAt = filepath.Join(t.TempDir(), "audit.jsonl")
		g.log = openAudit(t, g.auditAt)
		use = g.log
	}
	var verify boundary.Tokens = tokens.registry
	if o.tokens != nil {
		verify = o.tokens(verify)
	}
	g.pipeline = boundary.New(boundary.Options{
		Tokens: verify, Audit: use, Observer: g, Log: log, InFlight: o.inFlight,
		PerToken: o.perToken, PerService: o.perService, Kept: o.kept, Now: time.Now,
	})
	g.pipeline.Route(boundary.Configuration{Services: table(t, yaml, o)})
	var way gateway.Pipeline = g.pipeline
	if o.writer != nil {
		way = writingTo{g.pipeline, o.writer}
	}
	g.gateway = gateway.New(gateway.Options{
		Pipeline: way, MaxHead: cmp.Or(o.maxHead, 16<<10), Log: log, TLS: o.tls,
		Connections: o.connections, ServerError: func(_, kind string) {
			_, _ = g.errors.Write([]byte(kind + " "))
		},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr = l.Addr().String()
	go func() {
		defer close(g.served)
		if err := g.gateway.Serve(l); err != nil {
			t.Errorf("serving: %v", err)
		}
	}()
	t.Cleanup(func() { g.stop(); g.scan() })
	return g
}

// writingTo is a pipeline that answers through a writer of the test's.
type writingTo struct {
	*boundary.Pipeline
	writer func(http.ResponseWriter) http.ResponseWriter
}

func (b writingTo) Handle(w http.ResponseWriter, r *http.Request, v *boundary.View) {
	b.Pipeline.Handle(b.writer(w), r, v)
}

func openAudit(t testing.TB, path string) *audit.Log {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(context.Background(), audit.Options{
		Path: path, Keys: audit.Keys{Chain: bytes.Repeat([]byte{3}, 32), Sign: key}, Sync: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func table(t testing.TB, yaml string, o options) *service.Table {
	t.Helper()
	c, _, err := config.Parse(app.Kinds(), "sallyport.yaml", []byte("services:\n"+yaml),
		func(name string) ([]byte, error) {
			return os.ReadFile(name)
		})
	if err != nil {
		t.Fatalf("%v\n%s", err, yaml)
	}
	var list []*service.Service
	for name, sc := range c.Services {
		s, err := service.New(name, sc)
		if err != nil {
			t.Fatal(err)
		}
		parts := o.parts
		if parts == nil {
			parts = static(cmp.Or(o.secret, canary))
		}
		r, err := credential.NewAssembly(parts(s))
		if err != nil {
			t.Fatal(err)
		}
		s.Credential.Set(r)
		list = append(list, s)
	}
	return service.NewTable(list)
}

// static makes every credential of a service a static one.
func static(value string) func(*service.Service) []credential.Part {
	return func(s *service.Service) (parts []credential.Part) {
		for _, spec := range s.Specs {
			parts = append(parts, credential.Part{
				Spec: spec, Value: secret.NewValue([]byte(value)),
				Versions: []string{"canary@1"},
			})
		}
		return parts
	}
}

// api is the YAML of one service called api.
func api(upstream string, lines ...string) string {
	text := fmt.Sprintf("  api:\n    upstream: %s\n    allow_private: [127.0.0.1/32]\n", upstream)
	hasCredential := false
	for _, line := range lines {
		text += "    " + line + "\n"
		hasCredential = hasCredential || strings.HasPrefix(line, "credential")
	}
	if !hasCredential {
		text += "    secret: ref+builtin://canary\n"
	}
	return text
}

func (g *gate) service(name string) *service.Service {
	s, ok := g.pipeline.Services().Lookup(name)
	if !ok {
		g.Fatalf("no service %q", name)
	}
	return s
}

// Started and Finished make the gate an Observer that passes on to the real one.
func (g *gate) Started(service string) { g.metrics.Started(service) }

// Panicked is no part of any test that does not ask for it.
func (g *gate) Panicked() {
	g.metrics.Panicked()
	if g.panics.Add(1); !g.mayPanic {
		g.Errorf("a request ended in a panic:\n%s", g.logs.String())
	}
}

func (g *gate) Finished(o *boundary.Outcome) {
	g.metrics.Finished(o)
	for {
		select {
		case g.outcomes <- *o:
			return
		default: // a test that looks at none of so many does not wait for the oldest either
		}
		select {
		case <-g.outcomes:
		default:
		}
	}
}

// finished waits for the end of the next request.
func (g *gate) finished() boundary.Outcome {
	g.Helper()
	select {
	case o := <-g.outcomes:
		return o
	case <-time.After(30 * time.Second):
		g.Fatal("the request never ended")
		return boundary.Outcome{}
	}
}

func (g *gate) stop() {
	g.stopOnce.Do(func() {
		g.pipeline.CloseUpgraded()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := g.gateway.Shutdown(ctx); err != nil {
			g.Errorf("shutting down: %v", err)
			_ = g.gateway.Close()
		}
		<-g.served
		for _, s := range g.pipeline.Services().All() {
			s.Close()
		}
		if g.log != nil {
			if err := g.log.Close(); err != nil {
				g.Errorf("closing the audit log: %v", err)
			}
		}
	})
}

// record is what the tests look at in an audit line.
type record struct {
	Event, ID, Token, Service, Method, Path, Code, Blame, Detail, Rule, Workflow, Node string

	Status, Scrubbed int
	Secrets          []string
	BytesIn          int64 `json:"bytes_in"`
}

// records stops the gate and returns what the audit log says of requests.
func (g *gate) records() []record {
	g.Helper()
	g.stop()
	data, err := os.ReadFile(g.auditAt)
	if err != nil {
		g.Fatal(err)
	}
	var list []record
	for line := range bytes.Lines(data) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			g.Fatalf("audit line %q: %v", line, err)
		}
		switch audit.Kind(r.Event) {
		case audit.KindAuthorised, audit.KindCompleted, audit.KindRefused:
			list = append(list, r)
		}
	}
	return list
}

// refusedOnly wants n refused records of code and nothing beside them.
func (g *gate) refusedOnly(n int, code fault.Code) {
	g.Helper()
	list := g.records()
	if len(list) != n {
		g.Errorf("the audit log has %d records, want %d: %+v", len(list), n, list)
	}
	for _, r := range list {
		if r.Event != string(audit.KindRefused) || r.Code != string(code) {
			g.Errorf("audit record %s %s, want refused %s", r.Event, r.Code, code)
		}
	}
}

// scan searches everything that left the gate, but for what went to the API.
func (g *gate) scan() {
	g.Helper()
	if complaints := g.errors.String(); complaints != "" && !g.mayPanic && !g.complain {
		g.Errorf("net/http complains: %s\n%s", complaints, g.logs.String())
	}
	rec := httptest.NewRecorder()
	g.metrics.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	outputs := map[string]string{
		"what callers received": g.seen.String(), "the log": g.logs.String(),
		"the metrics": rec.Body.String(),
	}
	if g.auditAt != "" {
		data, err := os.ReadFile(g.auditAt)
		if err != nil {
			g.Error(err)
		}
		outputs["the audit log"] = string(data)
	}
	for place, text := range outputs {
		if what := leaks(text); what != "" {
			g.Errorf("%s shows %s", place, what)
		}
	}
}

// leaks names what of this run's secrets stands in text.
func leaks(text string) string {
	for name, form := range secretForms(canary) {
		if strings.Contains(text, form) {
			return "the credential, " + name
		}
	}
	for n := 1; n <= 9; n++ {
		for name, form := range secretForms(derived(n)) {
			if strings.Contains(text, form) {
				return fmt.Sprintf("the derived token %d, %s", n, name)
			}
		}
	}
	for name, value := range tokens.value {
		if strings.Contains(text, value) {
			return "the proxy token " + name
		}
	}
	return ""
}

func secretForms(s string) map[string]string {
	forms := map[string]string{
		"raw": s, "url-encoded": url.QueryEscape(s), "path-encoded": url.PathEscape(s), "hex": hex.EncodeToString([]byte(s)),
		"upper-case hex": strings.ToUpper(hex.EncodeToString([]byte(s))), "JSON": strings.ReplaceAll(s, "/", `\/`),
	}
	for shift := range 3 { // base64 inside of something longer
		for name, enc := range map[string]*base64.Encoding{
			"base64":    base64.RawStdEncoding,
			"base64url": base64.RawURLEncoding,
		} {
			coded := enc.EncodeToString([]byte(strings.Repeat("x", shift) + s))
			forms[fmt.Sprint(name, " at ", shift)] = coded[[3]int{0, 2, 3}[shift] : len(coded)-2]
		}
	}
	return forms
}

// answer is a response as it came.
type answer struct {
	*http.Response
	body []byte
	err  error // of reading the body
	raw  string
}

// problem is the members of Sallyport's own answers.
type problem struct {
	Type, Title, Code, Blame, Message, Hint, Service string

	Status    int
	RequestID string `json:"request_id"`
	Error     struct{ Message, Type, Code string }
}

func (a *answer) problem(t testing.TB) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("the response is no problem: %v\n%s", err, a.raw)
	}
	return p
}

// wantFault holds an answer of Sallyport's own to the table of faults.
func (a *answer) wantFault(t testing.TB, code fault.Code) {
	t.Helper()
	a.wantFaultAs(t, code, fault.Lookup(code).Status)
}

// challenges are the headers that a status must have beside it (RFC 9110 sections 15.5.2 and 15.5.8).
var challenges = map[int]string{401: "Www-Authenticate", 407: "Proxy-Authenticate"}

// wantFaultAs is wantFault where the status depends on the request.
func (a *answer) wantFaultAs(t testing.TB, code fault.Code, status int) {
	t.Helper()
	row, p := fault.Lookup(code), a.problem(t)
	if p.Code != string(code) {
		t.Fatalf("got code %q (%s), want %q", p.Code, p.Message, code)
	}
	if a.StatusCode != status || p.Status != status || p.Blame != string(row.Blame) {
		t.Errorf("got status %d, in the body %d, blame %q; want %d and %q", a.StatusCode, p.Status,
			p.Blame, status, row.Blame)
	}
	for at, name := range challenges {
		if got := a.Header.Get(name); (got != "") != (at == status) {
			t.Errorf("got %s %q with status %d", name, got, status)
		}
	}
	if p.Error.Message != p.Message || p.Error.Code != p.Code || p.Error.Type != "sallyport_error" {
		t.Errorf("got error %+v, want the message and the code once more", p.Error)
	}
	if got := a.Header.Get("Proxy-Status"); !strings.HasPrefix(got, "sallyport; error="+row.ProxyError) {
		t.Errorf("got Proxy-Status %q, want error=%s", got, row.ProxyError)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("got Content-Type %q", got)
	}
	if p.Message == "" || p.Hint == "" || p.RequestID == "" || p.RequestID != a.Header.Get("X-Sallyport-Request-Id") {
		t.Errorf("message, hint and request id must stand in the response: %+v", p)
	}
}

// wantStatus holds an answer of the API to its status.
func (a *answer) wantStatus(t testing.TB, status int) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("got status %d, want %d\n%s", a.StatusCode, status, a.raw)
	}
	if got, want := a.Header.Get("Proxy-Status"), fmt.Sprintf("sallyport; received-status=%d", status); got != want {
		t.Errorf("got Proxy-Status %q, want %q", got, want)
	}
}

// dial opens a connection to the gate; what comes back is searched at the end.
func (g *gate) dial() net.Conn {
	g.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	g.Cleanup(func() { _ = c.Close() })
	return seenConn{c, g}
}

type seenConn struct {
	net.Conn
	g *gate
}

func (c seenConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	_, _ = c.g.seen.Write(p[:n])
	return n, err
}

// send writes raw bytes on a new connection and reads until the gate closes it.
func (g *gate) send(raw string) (answers []*answer, rest string) {
	g.Helper()
	c := g.dial()
	if _, err := io.WriteString(c, raw); err != nil {
		g.Logf("sending: %v", err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		g.Logf("receiving: %v", err)
	}
	_ = c.Close()
	r := bufio.NewReader(bytes.NewReader(all))
	for {
		if _, err := r.Peek(1); err != nil {
			return answers, ""
		}
		resp, err := http.ReadResponse(r, &http.Request{Method: methodOf(raw)})
		if err != nil {
			tail, _ := io.ReadAll(r)
			return answers, fmt.Sprint(err, " ", string(tail))
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		a := &answer{Response: resp, raw: string(all)}
		a.body, a.err = io.ReadAll(resp.Body)
		answers = append(answers, a)
	}
}

func methodOf(raw string) string {
	method, _, _ := strings.Cut(raw, " ")
	return method
}

// request writes a request; token "" sends the good one, "-" none.
func request(method, target string, lines ...string) string {
	text := method + " " + target + " HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n"
	withToken := true
	body := ""
	for _, line := range lines {
		switch {
		case line == "-":
			withToken = false
		case strings.HasPrefix(line, "\r\n"):
			body = line[2:]
		default:
			text += line + "\r\n"
		}
	}
	if withToken {
		text += "X-Sallyport-Token: " + tokens.value["good"] + "\r\n"
	}
	return text + "\r\n" + body
}

// do makes one request with the good token (a line "-" leaves it out; a line that begins with an empty one is the
// body).
func (g *gate) do(method, target string, lines ...string) *answer {
	g.Helper()
	answers, rest := g.send(request(method, target, lines...))
	if len(answers) != 1 || rest != "" {
		g.Fatalf("%s %s: got %d answers and %q, want 1 answer", method, target, len(answers), rest)
	}
	return answers[0]
}
