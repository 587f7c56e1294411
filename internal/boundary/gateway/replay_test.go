package gateway_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/spool"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// mint makes the derived tokens of this run, one after another.
type mint struct {
	n     atomic.Int64
	fails atomic.Bool
	hold  chan struct{} // nil: none waits. Each mint after the first takes one from it.
}

func (m *mint) Inputs() string { return "inputs" }

func (m *mint) Mint(ctx context.Context, _ derive.State) (derive.State, error) {
	if m.hold != nil && m.n.Load() > 0 {
		select {
		case <-m.hold:
		case <-ctx.Done():
		}
	}
	if m.fails.Load() {
		return derive.State{}, fault.New(fault.CredentialMintFailed, "the provider is down")
	}
	n := m.n.Add(1)
	return derive.State{
		Token:  secret.NewValue([]byte(derived(int(n)))),
		Expiry: time.Now().Add(time.Duration(n) * time.Hour),
	}, nil
}

// lark is a service whose credential is derived, and which says by its code or by 401 that a token has expired.
func lark(upstream string, lines ...string) string {
	return api(upstream, append([]string{
		"credential: {kind: oauth2_client_credentials, token_url: https://tokens.test/token, client_id: me, client_secret: ref+builtin://canary, expired_when: {body: {pointer: /code, in: [99991663]}}}",
	}, lines...)...)
}

// derivedGate is a gate whose one credential is derived by m.
func derivedGate(t testing.TB, m derive.Minter, yaml string, o options) *gate {
	t.Helper()
	o.parts = func(s *service.Service) (parts []credential.Part) {
		vault := &derive.Memory{}
		source := derive.New(derive.Options{Name: s.Name, Minter: m, Vault: vault, Owner: vault})
		t.Cleanup(source.Close)
		return []credential.Part{{
			Spec: s.Specs[0], Source: source, Name: "derived:api", Versions: []string{"client@1"},
			Hidden: []secret.Value{secret.NewValue([]byte(canary))},
		}}
	}
	return newGate(t, yaml, o)
}

const larkExpired = `{"code":99991663,"msg":"token expired"}`

// closing says that the connection ends with the answer, so that no request with a body goes out on one that does.
func closing(raw string) string { return strings.Replace(raw, "\r\n", "\r\nConnection: close\r\n", 1) }

// takes answers 200 to the token of that number, and to any other one what expired is.
func takes(n int, expired string) func(net.Conn, *received) {
	return func(c net.Conn, r *received) {
		if r.Header.Get("Authorization") == "Bearer "+derived(n) {
			expired = okReply
		}
		_, _ = io.WriteString(c, closing(expired))
	}
}

func status(code int, body string, lines ...string) string {
	return strings.Replace(typed(withLength(body, lines...)), "200 OK", fmt.Sprintf("%d Status", code), 1)
}

// typed takes the default type out of an answer that names another one.
func typed(raw string) string {
	const plain = "Content-Type: text/plain\r\n"
	if head, _, _ := strings.Cut(raw, "\r\n\r\n"); strings.Count(head, "Content-Type:") > 1 {
		return strings.Replace(raw, plain, "", 1)
	}
	return raw
}

// TestExpiry: however the API says it, the caller hears nothing of it.
func TestExpiry(t *testing.T) {
	const json = "Content-Type: application/json; charset=utf-8"
	padded := `{"data":{"code":1,"list":["` + strings.Repeat("x", 50_000) + `",{"code":2}]},"code":"99991663"}`
	said := map[string]string{
		"status": status(401, "whatever"), "status and body": status(401, larkExpired, json), "status without a body": status(401, ""),
		"body": withLength(larkExpired, json), "body with 400": status(400, larkExpired, json), "body as a string, late": withLength(padded, json),
		"body, chunked": byByte(larkExpired, 1, json), "body to the end": "HTTP/1.1 200 OK\r\n" + json + "\r\n\r\n" + larkExpired,
		"body without a type": strings.Replace(withLength(larkExpired), "Content-Type: text/plain\r\n", "", 1), "body as text": withLength(larkExpired, "Content-Type: text/plain"), "body as problem": withLength(larkExpired, "Content-Type: application/problem+json"),
		"body as a float": withLength(`{"code":9.9991663e7}`, json), "a name with escapes": withLength(`{"c\u006fde":99991663}`, json),
	}
	for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
		said["body in "+coding] = withLength(encode(t, coding, padded), json, "Content-Encoding: "+coding)
	}
	for name, raw := range said {
		t.Run(name, func(t *testing.T) {
			m := &mint{}
			u := newUpstream(t, takes(2, typed(raw)))
			g := derivedGate(t, m, lark(u.url), options{})
			for range 2 {
				g.do("POST", "/s/api/x?a=1", "Accept-Encoding: gzip, deflate, br, zstd", "Content-Length: 5",
					"\r\nhello").wantStatus(t, 200)
			}
			if o := g.finished(); !o.Renewed || !o.Replayed || o.NotResent || o.Code != "" || o.BytesIn != 5 {
				t.Errorf("got outcome %+v", o)
			}
			if o := g.finished(); o.Renewed || o.Replayed {
				t.Errorf("got outcome %+v of the second request", o)
			}
			got := u.got()
			if len(got) != 3 || m.n.Load() != 2 {
				t.Fatalf("the API got %d requests, %d tokens were minted; want 3 and 2", len(got), m.n.Load())
			}
			for i, token := range []string{derived(1), derived(2), derived(2)} {
				r := got[i]
				if r.Header.Get("Authorization") != "Bearer "+token || string(r.body) != "hello" ||
					r.RequestURI != "/x?a=1" {
					t.Errorf("request %d: got %q and body %q", i, r.head, r.body)
				}
			}
		})
	}
}

// TestNotExpired: what does not say it passes, unchanged.
func TestNotExpired(t *testing.T) {
	const json = "Content-Type: application/json"
	beyond := `{"pad":"` + strings.Repeat("x", 70_000) + `","code":99991663}`
	for name, raw := range map[string]string{
		"403": status(403, `{"code":1}`, json), "429": status(429, "slow down"), "500": status(500, "{", json), "another code": withLength(`{"code":0}`, json),
		"beyond what is looked at": withLength(beyond, json), "deeper": withLength(`{"data":{"code":99991663}}`, json), "an element": withLength(`[99991663]`, json),
		"a scalar": withLength("99991663", json), "another type": withLength(larkExpired, "Content-Type: text/html"), "an event": withLength(larkExpired, "Content-Type: text/event-stream"),
		"broken": withLength(`{"a":"b`, json), "empty": withLength("", json), "garbage": withLength("\x00\x01\xff{", json), "behind the end": withLength(`{"code":0}`+larkExpired, json),
	} {
		t.Run(name, func(t *testing.T) {
			m := &mint{}
			u := newUpstream(t, reply(typed(raw)))
			g := derivedGate(t, m, lark(u.url), options{})
			_, body, _ := strings.Cut(raw, "\r\n\r\n")
			if a := g.do("GET", "/s/api/x"); string(a.body) != body || a.err != nil {
				t.Errorf("got %q, %v; want %q", a.body, a.err, body)
			}
			u.only(t)
			if o := g.finished(); o.Renewed || o.Replayed || m.n.Load() != 1 {
				t.Errorf("got %+v, %d tokens", o, m.n.Load())
			}
		})
	}
	t.Run("403 where it is configured", func(t *testing.T) {
		u := newUpstream(t, takes(2, status(403, "no")))
		g := derivedGate(t, &mint{}, strings.Replace(lark(u.url), "expired_when: {body",
			"expired_when: {status: [401, 403], body", 1), options{})
		g.do("GET", "/s/api/x").wantStatus(t, 200)
	})
}

// TestOneRenewalForAll: fifty callers at once whose token has expired cause one newer one.
func TestOneRenewalForAll(t *testing.T) {
	const callers = 50
	m := &mint{}
	var first sync.WaitGroup
	first.Add(callers)
	u := newUpstream(t, nil)
	u.reply = func(c net.Conn, r *received) {
		if r.Header.Get("Authorization") == "Bearer "+derived(1) {
			first.Done()
			first.Wait() // all have used the first token before anyone hears that it has expired
		}
		takes(2, withLength(larkExpired))(c, r)
	}
	g := derivedGate(t, m, lark(u.url), options{})
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() { g.do("GET", "/s/api/x").wantStatus(t, 200) })
	}
	wg.Wait()
	if n := len(u.got()); n != 2*callers || m.n.Load() != 2 {
		t.Errorf("the API got %d requests, %d tokens were minted", n, m.n.Load())
	}
}

// TestReplayedBodies: the second sending has the whole body again, from memory, from a file, or as it still comes.
func TestReplayedBodies(t *testing.T) {
	for name, size := range map[string]int{"none": 0, "1 KiB": 1 << 10, "5 MiB": 5 << 20} {
		for _, framing := range []string{"length", "chunks"} {
			t.Run(name+", "+framing, func(t *testing.T) {
				u := newUpstream(t, takes(2, status(401, "expired")))
				g := derivedGate(t, &mint{}, lark(u.url), options{})
				body := strings.Repeat("0123456789abcdef", size/16)
				lines := []string{fmt.Sprintf("Content-Length: %d", size), "\r\n" + body}
				if framing == "chunks" {
					lines = []string{
						"Transfer-Encoding: chunked",
						"\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, body),
					}
					if size == 0 {
						lines[1] = "\r\n0\r\n\r\n"
					}
				}
				g.do("POST", "/s/api/x", lines...).wantStatus(t, 200)
				got := u.got()
				if len(got) != 2 || string(got[0].body) != body || string(got[1].body) != body {
					t.Errorf("the API got %d requests", len(got))
				}
				if o := g.finished(); !o.Replayed || o.BytesIn != int64(size) {
					t.Errorf("got %+v", o)
				}
			})
		}
	}
}

// TestTooLargeToReplay: the first answer is the caller's, whole, and the next request has the newer token.
func TestTooLargeToReplay(t *testing.T) {
	refusal := strings.Repeat("expired ", 20_000)
	u := newUpstream(t, takes(2, status(401, refusal)))
	g := derivedGate(t, &mint{}, lark(u.url, "replay: {memory: 1KiB, total: 4KiB}"), options{})
	a := g.do("POST", "/s/api/x", "Content-Length: 65536", "\r\n"+strings.Repeat("x", 65536))
	a.wantStatus(t, 401)
	if string(a.body) != refusal {
		t.Errorf("got %d bytes, want %d", len(a.body), len(refusal))
	}
	if o := g.finished(); o.Replayed || !o.NotResent || o.Code != fault.CredentialRejected {
		t.Errorf("got %+v", o)
	}
	g.do("POST", "/s/api/x", "Content-Length: 65536", "\r\n"+strings.Repeat("x", 65536)).wantStatus(t, 200)
	if n := len(u.got()); n != 2 {
		t.Errorf("the API got %d requests, want 2", n)
	}
}

// TestNoRoomToKeep: bodies that find no room beside those of other requests still stream, but are not sent once more.
func TestNoRoomToKeep(t *testing.T) {
	u := newUpstream(t, takes(2, status(401, "expired")))
	budget := spool.NewBudget(16<<10, 32<<10)
	g := derivedGate(t, &mint{}, lark(u.url), options{kept: budget})
	g.do("POST", "/s/api/x", "Content-Length: 65536", "\r\n"+strings.Repeat("x", 65536)).wantStatus(t, 401)
	if o := g.finished(); o.Replayed || !o.NotResent {
		t.Errorf("got %+v", o)
	}
	g.do("POST", "/s/api/x", "Content-Length: 65536", "\r\n"+strings.Repeat("x", 65536)).wantStatus(t, 200)
	g.do("POST", "/s/api/x", "Content-Length: 4096", "\r\n"+strings.Repeat("x", 4096)).wantStatus(t, 200)
	g.stop()
	if memory, disk := budget.InUse(); memory != 0 || disk != 0 {
		t.Errorf("%d bytes in memory and %d on disk were not given back", memory, disk)
	}
}

// TestNoLoop: an API that calls every token expired gets two requests, and its second answer passes whole.
func TestNoLoop(t *testing.T) {
	long := strings.Repeat("no ", 50_000)
	for name, raw := range map[string]string{
		"status": byByte(long, 4096),
		"body":   withLength(larkExpired, "Content-Type: application/json"),
	} {
		if name == "status" {
			raw = strings.Replace(raw, "200 OK", "401 No", 1)
		}
		t.Run(name, func(t *testing.T) {
			m := &mint{}
			u := newUpstream(t, reply(typed(raw)))
			g := derivedGate(t, m, lark(u.url), options{})
			a := g.do("GET", "/s/api/x")
			want := map[string]string{"status": long, "body": larkExpired}[name]
			if string(a.body) != want || a.err != nil {
				t.Errorf("got %d bytes, %v; want %d", len(a.body), a.err, len(want))
			}
			if n := len(u.got()); n != 2 || m.n.Load() != 2 {
				t.Errorf("the API got %d requests, %d tokens were minted", n, m.n.Load())
			}
			if o := g.finished(); o.Code != fault.CredentialRejected || !o.Replayed {
				t.Errorf("got %+v", o)
			}
			if !g.service("api").Rejected() {
				t.Error("the service does not know that its credential is refused")
			}
		})
	}
}

// TestNothingNewer: no newer token is to be obtained, so the first answer is the caller's.
func TestNothingNewer(t *testing.T) {
	m := &mint{}
	u := newUpstream(t, func(c net.Conn, r *received) {
		m.fails.Store(true)
		reply(status(401, "expired, really"))(c, r)
	})
	g := derivedGate(t, m, lark(u.url), options{})
	a := g.do("GET", "/s/api/x")
	a.wantStatus(t, 401)
	if string(a.body) != "expired, really" {
		t.Errorf("got %q", a.body)
	}
	if o := g.finished(); !o.NotResent || o.Renewed {
		t.Errorf("got %+v", o)
	}
	g.do("GET", "/s/api/x").wantFault(t, fault.CredentialMintFailed)
	u.only(t)
	if list := g.records(); len(list) != 3 || !strings.Contains(list[1].Detail, "no newer one") ||
		list[2].Event != "refused" {
		t.Errorf("got %+v", list)
	}
}

// TestReplayBreaks: the API goes away in the second sending, and the caller hears that.
func TestReplayBreaks(t *testing.T) {
	u := newUpstream(t, func(c net.Conn, r *received) {
		if r.Header.Get("Authorization") == "Bearer "+derived(1) {
			reply(status(401, "expired"))(c, r)
		}
	})
	g := derivedGate(t, &mint{}, lark(u.url), options{})
	g.do("GET", "/s/api/x").wantFault(t, fault.UpstreamReset)
}

// TestCallerLeavesMeanwhile: nothing is sent for a caller that has gone.
func TestCallerLeavesMeanwhile(t *testing.T) {
	m := &mint{hold: make(chan struct{})}
	u := newUpstream(t, nil)
	asked := make(chan struct{})
	u.reply = func(c net.Conn, r *received) { close(asked); reply(status(401, "expired"))(c, r) }
	g := derivedGate(t, m, lark(u.url), options{})
	c := g.dial()
	_, _ = io.WriteString(c, request("GET", "/s/api/x"))
	<-asked
	_ = c.Close()
	if o := g.finished(); o.Replayed {
		t.Errorf("got %+v", o)
	}
	close(m.hold)
	u.only(t)
}

// eager answers as soon as it has the head of a request that does not carry the token of that number.
func eager(t *testing.T, n int, bodies chan<- string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+derived(n) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				w.Header().Set("Connection", "close")
				w.WriteHeader(http.StatusUnauthorized)
				_ = http.NewResponseController(w).Flush()
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("reading the body: %v", err)
			}
			bodies <- fmt.Sprintf("%x", sha256.Sum256(body))
		}),
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String()
}

// TestAnswerBeforeTheBody: the API refuses before it has read the body, which is sent whole all the same.
func TestAnswerBeforeTheBody(t *testing.T) {
	bodies := make(chan string, 1)
	g := derivedGate(t, &mint{}, lark(eager(t, 2, bodies)), options{})
	body := strings.Repeat("0123456789abcdef", 5<<16)
	g.do("POST", "/s/api/x", fmt.Sprintf("Content-Length: %d", len(body)), "\r\n"+body).wantStatus(t, 200)
	if got, want := <-bodies, fmt.Sprintf("%x", sha256.Sum256([]byte(body))); got != want {
		t.Error("the body arrived as another one")
	}
}

// TestContinue: a caller that waits for 100 gets it once, and its body is sent twice.
func TestContinue(t *testing.T) {
	u := newUpstream(t, takes(2, status(401, "expired")))
	g := derivedGate(t, &mint{}, lark(u.url), options{})
	c := g.dial()
	_, _ = io.WriteString(c, request("POST", "/s/api/x", "Content-Length: 5", "Expect: 100-continue"))
	want := "HTTP/1.1 100 Continue\r\n\r\n"
	buf := make([]byte, len(want))
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != want {
		t.Fatalf("got %q, %v", buf, err)
	}
	_, _ = io.WriteString(c, "hello")
	rest, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(rest), "HTTP/1.1 200") {
		t.Errorf("got %q", rest)
	}
	if got := u.got(); len(got) != 2 || string(got[1].body) != "hello" {
		t.Errorf("the API got %d requests", len(got))
	}
}

// TestBothTokensStay is a part of invariant 1: an answer to the second sending may hold the first token as well.
func TestBothTokensStay(t *testing.T) {
	old, now := derived(1), derived(2)
	both := "old " + old + " new " + now
	for name, raw := range map[string]string{
		"header and body": withLength(both, "X-Echo: "+both), "chunks and trailer": strings.TrimSuffix(byByte(both, 3, "Trailer: X-Echo"), "\r\n") + "X-Echo: " + both + "\r\n\r\n",
		"gzip": withLength(encode(t, "gzip", both), "Content-Encoding: gzip"), "JSON": withLength(`{"echo":"`+strings.ReplaceAll(both, "/", `\/`)+`"}`, "Content-Type: application/json"),
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, func(c net.Conn, r *received) {
				if r.Header.Get("Authorization") == "Bearer "+now {
					reply(raw)(c, r)
					return
				}
				reply(status(401, both, "X-Echo: "+both))(c, r)
			})
			g := derivedGate(t, &mint{}, lark(u.url), options{})
			a := g.do("GET", "/s/api/x?"+old+"&"+now, "X-Sallyport-Workflow: "+old, "Accept-Encoding: gzip")
			if a.StatusCode != 200 || !strings.Contains(a.raw, "old ***") {
				t.Errorf("got %q", a.raw)
			}
			if o := g.finished(); o.Scrubbed < 2 {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// TestSecondUseIsOnRecord is invariant 4 for the second sending: it is on record before it leaves, under its own name.
func TestSecondUseIsOnRecord(t *testing.T) {
	u := newUpstream(t, takes(2, status(401, "expired")))
	g := derivedGate(t, &mint{}, lark(u.url), options{})
	g.do("GET", "/s/api/x").wantStatus(t, 200)
	list := g.records()
	if len(list) != 3 {
		t.Fatalf("got %+v", list)
	}
	first, second, last := list[0], list[1], list[2]
	if first.Event != "authorised" || second.Event != "authorised" || last.Event != "completed" ||
		first.ID != second.ID || last.Status != 200 {
		t.Errorf("got %+v", list)
	}
	if len(first.Secrets) != 2 || len(second.Secrets) != 2 || first.Secrets[0] != "client@1" ||
		first.Secrets[1] == second.Secrets[1] || !strings.HasPrefix(second.Secrets[1], "derived:api@2") ||
		second.Detail == "" {
		t.Errorf("the records name %q and %q, %q", first.Secrets, second.Secrets, second.Detail)
	}
}

// once lets one use be recorded, and has a full disk then.
type once struct {
	*audit.Log
	n *atomic.Int64
}

func (o once) Authorise(ctx context.Context, ev *audit.Event) error {
	if o.n.Add(1) > 1 {
		return errors.New("writing: no space left on device")
	}
	return o.Log.Authorise(ctx, ev)
}

func TestNoSecondUseWithoutRecord(t *testing.T) {
	u := newUpstream(t, takes(2, status(401, "expired")))
	log := openAudit(t, t.TempDir()+"/audit.jsonl")
	g := derivedGate(t, &mint{}, lark(u.url), options{audit: once{log, new(atomic.Int64)}})
	g.do("GET", "/s/api/x").wantStatus(t, 401)
	if o := g.finished(); !o.NotResent || o.Replayed {
		t.Errorf("got %+v", o)
	}
	u.only(t)
	g.stop()
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

// pausing makes the second token when the body has grown.
type pausing struct {
	*mint

	asked, grown chan struct{}
}

func (p *pausing) Mint(ctx context.Context, s derive.State) (derive.State, error) {
	if p.n.Load() > 0 {
		close(p.asked)
		select {
		case <-p.grown:
		case <-ctx.Done():
		}
	}
	return p.mint.Mint(ctx, s)
}

// TestBodyGrowsDuringRenewal: while the credential is renewed the first sending goes on, and the body becomes larger
// than what is kept. The caller has the first response then, and the request is not sent once more.
func TestBodyGrowsDuringRenewal(t *testing.T) {
	m := &pausing{&mint{}, make(chan struct{}), make(chan struct{})}
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "early")
		_ = rc.Flush()
		_, _ = io.CopyN(io.Discard, r.Body, 2<<10)
		close(m.grown)
	}))
	t.Cleanup(s.Close)
	g := derivedGate(t, m, lark(s.URL, "replay: {memory: 512, total: 1KiB}"), options{})
	c := g.dial()
	_, _ = io.WriteString(c, keepAlive("POST", "/s/api/x", "Content-Length: 4096"))
	<-m.asked
	_, _ = io.WriteString(c, strings.Repeat("x", 2<<10))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusUnauthorized || string(body) != "early" || err != nil {
		t.Errorf("got %d %q, %v", resp.StatusCode, body, err)
	}
	if o := g.finished(); o.Code != fault.CredentialRejected || !o.NotResent || o.Replayed || calls.Load() != 1 {
		t.Errorf("got %+v after %d calls", o, calls.Load())
	}
}
