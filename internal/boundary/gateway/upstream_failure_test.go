package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport/internal/fault"
)

// reset makes the kernel answer with RST when c closes.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// TestFailureBeforeTheResponse: every failure before there is an answer gets one that says what it was.
func TestFailureBeforeTheResponse(t *testing.T) {
	closed := newUpstream(t, nil)
	closedURL := closedPort(t)
	tlsServer, ca := newTLSUpstream(t, nil)
	plain := newUpstream(t, nil)
	for _, c := range []struct {
		name string
		yaml string
		code fault.Code
	}{
		{"closed port", api(closedURL), fault.UpstreamRefused},
		{"no such name", api("http://nowhere.invalid"), fault.UpstreamDNS},
		{"unknown CA", api(tlsServer.url), fault.UpstreamTLS},
		{"wrong name", api(tlsServer.url, "ca_file: "+ca, "server_name: other.example.org"), fault.UpstreamTLS},
		{"TLS to plain HTTP", api(strings.Replace(plain.url, "http:", "https:", 1)), fault.UpstreamTLS},
		{"loopback without leave", "  api: {upstream: \"" + closed.url + "\", secret: ref+builtin://canary}\n", fault.DestinationProhibited},
		{"a name for loopback", "  api: {upstream: \"" + strings.Replace(closed.url, "127.0.0.1", "localhost", 1) + "\", secret: ref+builtin://canary}\n", fault.DestinationProhibited},
		{"metadata", api("http://169.254.169.254"), fault.DestinationProhibited},
		{"mapped private", api("http://[::ffff:10.0.0.1]"), fault.DestinationProhibited},
		{"shared NAT", api("http://100.64.0.1"), fault.DestinationProhibited},
		{"unspecified", api("http://0.0.0.0:1"), fault.DestinationProhibited},
		{"metadata inside a wide leave", "  api: {upstream: \"http://169.254.169.254\", allow_private: [169.254.0.0/16], secret: ref+builtin://canary}\n", fault.DestinationProhibited},
		{"garbage", api(newUpstream(t, reply("SSH-2.0-OpenSSH_9.9\r\n\r\n")).url), fault.UpstreamMalformed},
		{"no status", api(newUpstream(t, reply("HTTP/1.1 abc\r\n\r\n")).url), fault.UpstreamMalformed},
		{"huge header", api(newUpstream(t, reply("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("a", 300<<10)+"\r\n\r\n")).url), fault.UpstreamMalformed},
		{"two lengths", api(newUpstream(t, reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")).url), fault.UpstreamMalformed},
		{"nothing", api(newUpstream(t, func(net.Conn, *received) {}).url), fault.UpstreamReset},
		{"reset", api(newUpstream(t, func(c net.Conn, _ *received) { reset(c) }).url), fault.UpstreamReset},
		{"half a head", api(newUpstream(t, reply("HTTP/1.1 200 OK\r\nX:")).url), fault.UpstreamReset},
		{"silence", api(silent(t).url, "timeouts: {response_header: 50ms}"), fault.UpstreamTimeout},
		{"short body", api(newUpstream(t, reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")).url), fault.UpstreamTruncated},
		{"short body, reset", api(newUpstream(t, func(c net.Conn, r *received) {
			reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")(c, r)
			reset(c)
		}).url), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(t, c.yaml, options{})
			a := g.do("GET", "/s/api/x")
			if c.code == "" {
				if a.StatusCode != http.StatusBadGateway {
					t.Errorf("got %s", a.raw)
				}
				return
			}
			a.wantFault(t, c.code)
			if p := a.problem(t); p.Service != "api" || !strings.Contains(p.Message, `"api"`) {
				t.Errorf("the response does not name the service: %+v", p)
			}
			if list := g.records(); len(list) != 2 || list[1].Code != string(c.code) || list[1].Blame != "upstream" {
				t.Errorf("got records %+v", list)
			}
		})
	}
	closed.untouched(t)
	if n := len(tlsServer.got()); n != 0 {
		t.Errorf("a server without a trusted certificate got %d requests", n)
	}
}

func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// silent is an API that reads requests and never says a word until the test ends.
func silent(t *testing.T) *upstream {
	done := make(chan struct{})
	u := newUpstream(t, func(net.Conn, *received) { <-done })
	t.Cleanup(func() { close(done) })
	return u
}

// TestCutAnswerNeverPassesForWhole: when the API breaks off after its head was passed on, the caller's connection
// breaks off.
func TestCutAnswerNeverPassesForWhole(t *testing.T) {
	large := strings.Repeat("x", 200<<10)
	for name, c := range map[string]struct {
		answer func(net.Conn, *received)
		yaml   string
		code   fault.Code
	}{
		"length": {answer: reply("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + large), code: fault.UpstreamTruncated},
		"length, reset": {answer: func(c net.Conn, r *received) {
			reply("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"+large)(c, r)
			reset(c)
		}},
		"chunked":       {answer: reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhel"), code: fault.UpstreamTruncated},
		"chunked, no 0": {answer: reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), code: fault.UpstreamTruncated},
		"chunked, bad":  {answer: reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")},
		"gzip cut":      {answer: reply(withLength(encode(t, "gzip", large)[:100], "Content-Encoding: gzip")), code: fault.UpstreamTruncated},
		"stall": {answer: func(c net.Conn, r *received) {
			reply("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"+large)(c, r)
			_, _ = c.Read(make([]byte, 1))
		}, yaml: "timeouts: {idle: 100ms}", code: fault.UpstreamTimeout},
		"stall, chunked": {answer: func(c net.Conn, r *received) {
			reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")(c, r)
			_, _ = c.Read(make([]byte, 1))
		}, yaml: "timeouts: {idle: 100ms}", code: fault.UpstreamTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, c.answer)
			g := newGate(t, api(u.url, c.yaml), options{})
			conn := g.dial()
			_, _ = io.WriteString(conn, request("GET", "/s/api/x"))
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			if err == nil {
				t.Errorf("the caller took the response for whole: %v", resp)
			}
			o := g.finished()
			if o.Code == "" || c.code != "" && o.Code != c.code {
				t.Errorf("got outcome %q, want %q", o.Code, c.code)
			}
		})
	}
}

func TestInformationalAnswersAreSkipped(t *testing.T) {
	u := newUpstream(t, reply("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"+okReply))
	g := newGate(t, api(u.url), options{})
	g.do("GET", "/s/api/x").wantStatus(t, 200)
}

// TestEarlyAnswer: an API that answers before it has read the body is heard, also while the caller is still sending.
func TestEarlyAnswer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "large")
	}))
	defer s.Close()
	for name, framing := range map[string]string{
		"declared": "Content-Length: 100000000",
		"chunked":  "Transfer-Encoding: chunked",
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, api(s.URL), options{})
			c := g.dial()
			_, _ = io.WriteString(c, strings.Replace(request("POST", "/s/api/x", framing),
				"Connection: close\r\n", "", 1))
			if name == "chunked" {
				_, _ = io.WriteString(c, "5\r\nhello\r\n")
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil) // the caller sends no more before it has the answer
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusRequestEntityTooLarge || string(body) != "large" || err != nil {
				t.Errorf("got %d %q, %v", resp.StatusCode, body, err)
			}
			_ = c.Close()
			g.finished()
		})
	}
}

// TestFaultBeforeTheBody: a caller that waits with its body hears at once that the API is not there.
func TestFaultBeforeTheBody(t *testing.T) {
	g := newGate(t, api(closedPort(t)), options{})
	c := g.dial()
	defer c.Close()
	_, _ = io.WriteString(c, strings.Replace(request("POST", "/s/api/x", "Content-Length: 5"),
		"Connection: close\r\n", "", 1))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &answer{Response: resp}
	a.body, _ = io.ReadAll(resp.Body)
	a.wantFault(t, fault.UpstreamRefused)
}

// TestFullDuplex: an API that answers while it reads gets every byte of the body, and each echo arrives before the next
// is sent.
func TestFullDuplex(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_ = http.NewResponseController(w).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	}))
	defer s.Close()
	g := newGate(t, api(s.URL), options{})
	c := g.dial()
	defer c.Close()
	_, _ = io.WriteString(c, request("POST", "/s/api/x", "Transfer-Encoding: chunked"))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		// without the line break its end might be the beginning of a secret, and be held
		text := fmt.Sprintf("message %02d\n", i)
		_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n", len(text), text)
		buf := make([]byte, len(text))
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != text {
			t.Fatalf("got %q, %v; want %q", buf, err, text)
		}
	}
	_, _ = io.WriteString(c, "0\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("got %q, %v at the end", rest, err)
	}
}

// TestCallerGone: when the caller hangs up, the call to the API ends, and the record says whose doing it was.
func TestCallerGone(t *testing.T) {
	for _, when := range []string{"before the response", "in the middle of the response", "in the middle of the body"} {
		t.Run(when, func(t *testing.T) {
			arrived, gone := make(chan struct{}), make(chan struct{})
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if when == "in the middle of the response" {
					_, _ = io.WriteString(w, "half")
					_ = http.NewResponseController(w).Flush()
				}
				close(arrived)
				if when == "in the middle of the body" {
					if _, err := io.ReadAll(r.Body); err == nil {
						t.Error("the API took the body for whole")
					}
				}
				<-r.Context().Done()
				close(gone)
			}))
			defer s.Close()
			g := newGate(t, api(s.URL, "limits: {concurrency: 1}"), options{})
			c := g.dial()
			if when == "in the middle of the body" {
				_, _ = io.WriteString(c, request("POST", "/s/api/x", "Content-Length: 100", "\r\nhalf"))
			} else {
				_, _ = io.WriteString(c, request("GET", "/s/api/x"))
			}
			<-arrived
			if when == "in the middle of the response" {
				if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
					t.Error(err)
				}
			}
			_ = c.Close()
			<-gone
			if o := g.finished(); o.Code != fault.ClientGone {
				t.Errorf("got %+v", o)
			}
			if list := g.records(); len(list) != 2 || list[1].Code != string(fault.ClientGone) ||
				list[1].Blame != string(fault.BlameCaller) {
				t.Errorf("got records %+v", list)
			}
			if n := g.service("api").Limits.Active(); n != 0 || g.pipeline.InFlight() != 0 {
				t.Errorf("%d places and %d requests in flight are left", n, g.pipeline.InFlight())
			}
		})
	}
}

// failing is a transport that does what a broken one might.
type failing struct {
	do func() (*http.Response, error)
}

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return f.do() }

// TestPanicLetsGo: a bug on the way must not keep a place, and is on record as Sallyport's.
func TestPanicLetsGo(t *testing.T) {
	g := newGate(t, api("http://127.0.0.1:1", "limits: {concurrency: 1}"), options{mayPanic: true})
	g.service("api").Transport = failing{func() (*http.Response, error) { panic("a bug") }}
	for range 3 {
		g.do("GET", "/s/api/x").wantFault(t, fault.Internal)
		if o := g.finished(); o.Code != fault.Internal {
			t.Errorf("got %+v", o)
		}
	}
	if g.panics.Load() != 3 || strings.Contains(g.logs.String(), "a bug") ||
		!strings.Contains(g.logs.String(), "TestPanicLetsGo") {
		t.Errorf("got %d panics; the log must name the place and not the value:\n%s", g.panics.Load(), g.logs.String())
	}
	g.service("api").Transport = failing{func() (*http.Response, error) { return nil, errors.New("no idea") }}
	if a := g.do("GET", "/s/api/x"); a.StatusCode < 500 {
		t.Errorf("got %s", a.raw)
	}
	if n := g.service("api").Limits.Active(); n != 0 || g.pipeline.InFlight() != 0 {
		t.Errorf("%d places and %d requests in flight are left", n, g.pipeline.InFlight())
	}
}
