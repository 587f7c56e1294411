package gateway_test

import (
	"bufio"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"sallyport/internal/fault"
)

// http2Upstream is an API over TLS with HTTP/2; caFile is what to trust.
func http2Upstream(t testing.TB, serve http.HandlerFunc) (s *httptest.Server, caFile string) {
	t.Helper()
	s = httptest.NewUnstartedServer(serve)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		0o600); err != nil {
		t.Fatal(err)
	}
	return s, caFile
}

// TestHTTP2EarlyAnswer: an API on HTTP/2 answers while the upload goes on. The caller, which sends no more until it has
// the answer, hears it at once, and the record has the API's own status; also where the body is kept to be sent again.
func TestHTTP2EarlyAnswer(t *testing.T) {
	start := strings.Repeat("x", 2<<10)
	for status, code := range map[int]fault.Code{200: "", 401: fault.CredentialRejected, 413: fault.Upstream4xx} {
		for framing, start := range map[string]string{
			"Content-Length: 100000000":  start,
			"Transfer-Encoding: chunked": "800\r\n" + start + "\r\n",
		} {
			for kind, lines := range map[string][]string{
				"streamed": nil, "kept": nil,
				"too large to keep": {"replay: {memory: 512, total: 1KiB}"},
			} {
				t.Run(fmt.Sprint(status, " ", framing, " ", kind), func(t *testing.T) {
					var protocol atomic.Value
					s, caFile := http2Upstream(t, func(w http.ResponseWriter, r *http.Request) {
						protocol.Store(r.Proto)
						w.WriteHeader(status)
						_, _ = io.WriteString(w, "early")
					})
					lines = append(lines, "http2: true", "ca_file: "+caFile)
					var g *gate
					if kind == "streamed" {
						g = newGate(t, api(s.URL, lines...), options{})
					} else {
						g = derivedGate(t, &mint{}, lark(s.URL, lines...), options{})
					}
					c := g.dial()
					_, _ = io.WriteString(c, keepAlive("POST", "/s/api/x", framing)+start)
					resp, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(resp.Body)
					if resp.StatusCode != status || string(body) != "early" || err != nil {
						t.Errorf("got %d %q, %v", resp.StatusCode, body, err)
					}
					if o := g.finished(); o.Code != code || o.Status != status {
						t.Errorf("got %+v", o)
					}
					if got := protocol.Load(); got != "HTTP/2.0" {
						t.Errorf("the API was called with %v", got)
					}
				})
			}
		}
	}
}

// TestHTTP2Replay: the API says that the credential has expired while the upload goes on. The second sending has all of
// the body.
func TestHTTP2Replay(t *testing.T) {
	second := make(chan struct{})
	var body atomic.Value
	s, caFile := http2Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+derived(1) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		close(second)
		all, _ := io.ReadAll(r.Body)
		body.Store(string(all))
	})
	g := derivedGate(t, &mint{}, lark(s.URL, "http2: true", "ca_file: "+caFile), options{})
	c := g.dial()
	_, _ = io.WriteString(c, request("POST", "/s/api/x", "Content-Length: 10")+"hello")
	<-second
	_, _ = io.WriteString(c, "world")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %+v, %v", resp, err)
	}
	if o := g.finished(); !o.Replayed || o.Code != "" || o.BytesIn != 10 || body.Load() != "helloworld" {
		t.Errorf("got %+v and body %q", o, body.Load())
	}
}

// TestHTTP2WebSocket: WebSockets go over HTTP/1.1, which HTTP/2 services can speak, too, and are scrubbed.
func TestHTTP2WebSocket(t *testing.T) {
	s, caFile := http2Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/socket" {
			_, _ = io.WriteString(w, r.Proto)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		_, text, err := c.Read(r.Context())
		if err == nil {
			err = c.Write(r.Context(), websocket.MessageText, []byte(string(text)+" "+r.Header.Get("Authorization")))
		}
		if err != nil {
			t.Error(err)
		}
		_, _, _ = c.Read(r.Context())
	})
	g := newGate(t, api(s.URL, "http2: true", "ca_file: "+caFile), options{})
	if a := g.do("GET", "/s/api/x"); string(a.body) != "HTTP/2.0" {
		t.Errorf("got %s", a.raw)
	}
	g.finished()
	c, _, err := websocket.Dial(t.Context(), "ws://"+g.addr+"/s/api/socket",
		&websocket.DialOptions{HTTPHeader: http.Header{"X-Sallyport-Token": {tokens.value["good"]}}})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Write(t.Context(), websocket.MessageText, []byte("echo"))
	_, got, readErr := c.Read(t.Context())
	if want := "echo Bearer " + strings.Repeat("*", len(canary)); errors.Join(err, readErr) != nil ||
		string(got) != want {
		t.Errorf("got %q, %v; want %q", got, errors.Join(err, readErr), want)
	}
	_ = c.Close(websocket.StatusNormalClosure, "")
	if o := g.finished(); o.Status != http.StatusSwitchingProtocols || o.Scrubbed != 1 || o.Code != "" {
		t.Errorf("got %+v", o)
	}
}

// TestHTTP2WebSocketRefused: what the API answers to the handshake instead is the caller's.
func TestHTTP2WebSocketRefused(t *testing.T) {
	s, caFile := http2Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.Proto, http.StatusForbidden)
	})
	g := newGate(t, api(s.URL, "http2: true", "ca_file: "+caFile), options{})
	a := g.do("GET", "/s/api/x", "Connection: Upgrade", "Upgrade: websocket")
	if a.wantStatus(t, http.StatusForbidden); !strings.Contains(string(a.body), "HTTP/1.1") {
		t.Errorf("got %s", a.raw)
	}
	if o := g.finished(); o.Code != fault.Upstream4xx || o.Status != http.StatusForbidden {
		t.Errorf("got %+v", o)
	}
}
