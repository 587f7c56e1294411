package gateway_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/fault"
)

// keepAlive is request without its `Connection: close`.
func keepAlive(method, target string, lines ...string) string {
	return strings.Replace(request(method, target, lines...), "Connection: close\r\n", "", 1)
}

// early is an API that answers with a status as soon as it has the head, and reads nothing.
func early(t testing.TB, status string) (url string, heads *atomic.Int64) {
	t.Helper()
	heads = new(atomic.Int64)
	return hear(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			heads.Add(1)
			_, _ = io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 2\r\n\r\nno")
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
		}
	}), heads
}

// hear serves raw connections.
func hear(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	return hearOn(t, nil, serve)
}

// hearOn is hear, over TLS where there is a configuration of it.
func hearOn(t testing.TB, secure *tls.Config, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// TestUpgradeWithBody: a WebSocket handshake with a body is refused before anything is dialled, and nothing of it ends
// the process.
func TestUpgradeWithBody(t *testing.T) {
	upstream, heads := early(t, "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket")
	g := newGate(t, api(upstream), options{})
	const n = 2
	for range n {
		for _, size := range []int{1, 16 << 10, 1 << 20} {
			for framing, body := range map[string]string{
				fmt.Sprint("Content-Length: ", size): strings.Repeat("x", size),
				"Transfer-Encoding: chunked":         fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, strings.Repeat("x", size)),
			} {
				for _, method := range []string{"GET", "POST"} {
					text := keepAlive(method, "/s/api/ws", "Connection: keep-alive, Upgrade", "Upgrade: WebSocket",
						"Sec-WebSocket-Version: 13",
						"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", framing, "\r\n"+body)
					answers, rest := g.send(text + request("GET", "/s/api/behind"))
					if len(answers) == 0 || rest != "" {
						t.Fatalf("%s %s: got %d answers and %.100q", method, framing, len(answers), rest)
					}
					answers[0].wantFault(t, fault.RequestMalformed)
				}
			}
		}
	}
	if a := g.do("GET", "/s/none/x"); a.StatusCode != http.StatusNotFound {
		t.Errorf("afterwards: got %s", a.raw)
	}
	if a := g.do("POST", "/s/api/ws", "Upgrade: websocket",
		"Content-Length: 0"); a.StatusCode == http.StatusBadRequest {
		t.Errorf("without `Connection: upgrade` it is no handshake: got %s", a.raw)
	}
	// those behind, which are requests of their own, where the connection was kept
	if got := heads.Load(); got > 12*n+1 {
		t.Errorf("the API was called %d times", got)
	}
}

// TestUpgradeOnHTTP10: HTTP/1.0 has no upgrade (RFC 9110 section 7.8).
func TestUpgradeOnHTTP10(t *testing.T) {
	var upgrade atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrade.Store(r.Header.Get("Upgrade"))
	}))
	defer s.Close()
	g := newGate(t, api(s.URL), options{})
	a := g.do("GET", "/s/api/x", "Connection: Upgrade", "Upgrade: websocket")
	a.wantStatus(t, http.StatusOK)
	text := strings.Replace(request("GET", "/s/api/x", "Upgrade: websocket"), " HTTP/1.1", " HTTP/1.0", 1)
	answers, _ := g.send(strings.Replace(text, "Connection: close", "Connection: upgrade", 1))
	if len(answers) != 1 || answers[0].StatusCode != http.StatusOK || upgrade.Load() != "" {
		t.Errorf("got %d answers, the API saw Upgrade %q", len(answers), upgrade.Load())
	}
}

// own are requests that get an answer of Sallyport's own, each of another kind.
func own(t testing.TB) (*gate, map[string]func(lines ...string) string) {
	t.Helper()
	broken := hear(t, func(c net.Conn) {})
	g := newGate(t, api("http://127.0.0.1:1", "allow: [POST /open/**]")+"  limited:\n    upstream: "+broken+
		"\n    allow_private: [127.0.0.1/32]\n    secret: ref+builtin://canary\n    limits: {rate: 1/h}\n  reset:\n  "+
		"  upstream: "+broken+
		"\n    allow_private: [127.0.0.1/32]\n    secret: ref+builtin://canary\n", options{})
	g.do("GET", "/s/limited/x")
	post := func(target string, more ...string) func(lines ...string) string {
		return func(lines ...string) string { return keepAlive("POST", target, append(more, lines...)...) }
	}
	return g, map[string]func(lines ...string) string{
		"400":         post("/s/api/a/../b"),
		"401 or 407":  post("/s/api/open/x", "-"),
		"403":         post("/s/api/closed/x"),
		"404":         post("/s/none/x"),
		"404 outside": post("/elsewhere"),
		"429":         post("/s/limited/x"),
		"502":         post("/s/api/open/x"),
		"502 reset":   post("/s/reset/x"),
		"whoami":      post("/whoami"),
	}
}

// TestOwnAnswersKeepOrClose: after an answer of Sallyport's own to a request with a body a connection either goes on,
// and the next request on it is answered, or its end was announced. No request is lost, and none is made out of a body.
func TestOwnAnswersKeepOrClose(t *testing.T) {
	g, requests := own(t)
	const poison = "GET /s/api/smuggled HTTP/1.1\r\nHost: gate\r\n\r\n"
	two := fmt.Sprint("Content-Length: ", 2*len(poison))
	for name, text := range requests {
		for what, c := range map[string]struct {
			lines []string
			later string // sent when the answer has come
			close bool   // must be announced
		}{
			"small":              {lines: []string{two, "\r\n" + poison + poison}},
			"chunked":            {lines: []string{"Transfer-Encoding: chunked", fmt.Sprintf("\r\n%x\r\n%s\r\n0\r\n\r\n", len(poison), poison)}},
			"middle":             {lines: []string{"Content-Length: 100000", "\r\n" + strings.Repeat("x", 100000)}},
			"going on":           {lines: []string{two, "\r\n" + poison}, later: poison, close: true},
			"chunk going on":     {lines: []string{"Transfer-Encoding: chunked", fmt.Sprintf("\r\n%x\r\n%s", 2*len(poison), poison)}, later: poison + "\r\n0\r\n\r\n", close: true},
			"large":              {lines: []string{"Content-Length: 9000000", "\r\n" + poison}, later: strings.Repeat(poison, 1000), close: true},
			"expected":           {lines: []string{fmt.Sprint("Content-Length: ", len(poison)), "Expect: 100-continue"}, close: true},
			"expected, and sent": {lines: []string{fmt.Sprint("Content-Length: ", len(poison)), "Expect: 100-continue", "\r\n" + poison}, close: true},
		} {
			if name == "502 reset" && what != "small" || name == "502" && strings.HasPrefix(what, "expected") {
				continue // the API's connection has asked for the body by then
			}
			t.Run(name+"/"+what, func(t *testing.T) {
				c1 := g.dial()
				r := bufio.NewReader(c1)
				for i := range 3 {
					if _, err := io.WriteString(c1, text(c.lines...)); err != nil {
						t.Fatal(err)
					}
					resp := readAnswer(t, r)
					if resp.StatusCode/100 == 2 && name != "whoami" {
						t.Fatalf("got %s", resp.Status)
					}
					_, _ = io.WriteString(c1, c.later)
					if resp.Close {
						if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
							t.Errorf("behind the announced end: got %v, want EOF", err)
						}
						return
					}
					if c.close {
						t.Fatalf("answer %d does not announce the end: %v", i, resp.Header)
					}
				}
			})
		}
	}
	for _, r := range g.records() {
		if strings.Contains(r.Path, "smuggled") || strings.Contains(r.Path, "refused") {
			t.Fatalf("a body was read as a request: %+v", r)
		}
	}
}

// readAnswer reads one answer, past 100 Continue.
func readAnswer(t testing.TB, r *bufio.Reader) *http.Response {
	t.Helper()
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: "POST"})
		if err != nil {
			t.Fatalf("reading the response: %v", err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatalf("reading the response's body: %v", err)
		}
		if resp.StatusCode != http.StatusContinue {
			return resp
		}
	}
}

// TestKeepAliveClient: net/http's client, which is one of many that believe in `Connection`, gets every answer.
func TestKeepAliveClient(t *testing.T) {
	g, requests := own(t)
	dialled := new(atomic.Int64)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network,
		addr string,
	) (net.Conn, error) {
		dialled.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}}
	defer client.CloseIdleConnections()
	n := 0
	for name, text := range requests {
		for range 10 {
			model, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text("Content-Length: 0"))))
			if err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequest("POST", "http://"+g.addr+model.RequestURI, struct {
				io.Reader
			}{strings.NewReader(`{"model":"x"}`)})
			req.Header = model.Header
			resp, err := client.Do(req)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			n++
		}
	}
	if dialled.Load() > int64(n)/3 {
		t.Errorf("%d connections for %d requests: small bodies should not cost a connection", dialled.Load(), n)
	}
}

// TestEarlyAnswerEndsTheConnection: an API that answers before the body is through. The caller has the answer at once,
// it announces the end, and nothing of what comes after is read as a request.
func TestEarlyAnswerEndsTheConnection(t *testing.T) {
	for _, status := range []string{"401 Unauthorized", "413 Content Too Large", "200 OK"} {
		for _, framing := range []string{"chunked", "length"} {
			t.Run(status+" "+framing, func(t *testing.T) {
				upstream, heads := early(t, status)
				g := newGate(t, api(upstream), options{})
				c := g.dial()
				poison := keepAlive("GET", "/s/api/smuggled") + "\r\n"
				// the presented one would not pass
				poison = strings.ReplaceAll(poison, tokens.value["good"], tokens.value["other"])
				_, _ = io.WriteString(c, keepAlive("POST", "/s/api/x", map[string]string{
					"chunked": "Transfer-Encoding: chunked", "length": "Content-Length: 2000000",
				}[framing]))
				if framing == "chunked" {
					_, _ = fmt.Fprintf(c, "%x\r\n", 100*len(poison))
				}
				_, _ = io.WriteString(c, poison)
				r := bufio.NewReader(c)
				began := time.Now()
				resp := readAnswer(t, r)
				if !resp.Close || resp.Status[:3] != status[:3] || time.Since(began) > 5*time.Second {
					t.Errorf("got %s, close %v, after %v", resp.Status, resp.Close, time.Since(began))
				}
				go func() {
					for range 99 {
						if _, err := io.WriteString(c, poison); err != nil {
							return
						}
					}
					_, _ = io.WriteString(c, "0\r\n\r\n"+poison+"NOT A HEAD\r\n\r\n")
				}()
				if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("behind the response: got %v, want EOF", err)
				}
				g.finished()
				if heads.Load() != 1 {
					t.Errorf("the API was called %d times", heads.Load())
				}
				for _, r := range g.records() {
					if r.Path != "/x" {
						t.Errorf("a body was read as a request: %+v", r)
					}
				}
			})
		}
	}
}

// TestHTTP10Body: HTTP/1.0 with keep-alive is held to the same rule.
func TestHTTP10Body(t *testing.T) {
	g, _ := own(t)
	c := g.dial()
	text := strings.Replace(keepAlive("POST", "/s/none/x", "Connection: keep-alive", "Content-Length: 400000",
		"\r\nxxx"), "HTTP/1.1", "HTTP/1.0", 1)
	_, _ = io.WriteString(c, text)
	r := bufio.NewReader(c)
	if resp := readAnswer(t, r); !resp.Close || resp.StatusCode != http.StatusNotFound {
		t.Errorf("got %s, close %v", resp.Status, resp.Close)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want EOF", err)
	}
}

// TestPanicElsewhere: a panic in a goroutine that net/http's transport started ends its request alone.
func TestPanicElsewhere(t *testing.T) {
	g := newGate(t, api("http://127.0.0.1:1"), options{mayPanic: true})
	g.service("api").Transport = failing{func() (*http.Response, error) {
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer fault.Recover("dialling", &err)
			_ = strings.Split(g.addr, ",")[len(g.addr)]
		}()
		<-done
		return nil, err
	}}
	a := g.do("POST", "/s/api/x", "Content-Length: 2", "\r\nhi")
	a.wantFault(t, fault.Internal)
	if g.panics.Load() != 1 || !strings.Contains(g.logs.String(), "index out of range") {
		t.Errorf("got %d panics:\n%s", g.panics.Load(), g.logs.String())
	}
	if o := g.finished(); o.Code != fault.Internal {
		t.Errorf("got %+v", o)
	}
}
