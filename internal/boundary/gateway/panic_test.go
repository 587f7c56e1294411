package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
)

// survived wants n panics on count and in the log, each once, and a gate that goes on.
func (g *gate) survived(t *testing.T, n int64) {
	t.Helper()
	if got := g.panics.Load(); got != n {
		t.Errorf("got %d panics, want %d:\n%s", got, n, g.logs.String())
	}
	if got := strings.Count(g.logs.String(), "a request ended in a panic"); int64(got) != n {
		t.Errorf("the log tells of %d panics, want %d", got, n)
	}
	g.do("GET", "/s/none/x").wantFault(t, fault.ServiceUnknown)
}

// replaced puts another transport under the service of g.
func (g *gate) replaced(t *testing.T, o egress.Options) {
	t.Helper()
	s := g.service("api")
	o.Host, o.Port, _ = strings.Cut(s.Host, ":")
	if o.AllowPrivate == nil {
		o.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	}
	transport, err := egress.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdle)
	s.Transport = transport
}

// TestPanicInDialler: the real dialler panics in goroutines of the transport and of package net.
func TestPanicInDialler(t *testing.T) {
	for name, o := range map[string]egress.Options{
		"checking the address": {Own: func() *egress.Own { panic("a bug") }},
		"telling how it ended": {Dialled: func(error) { panic("a bug") }},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url), options{mayPanic: true})
			g.replaced(t, o)
			a := g.do("POST", "/s/api/x", "Content-Length: 2", "\r\nhi")
			a.wantFault(t, fault.Internal)
			if p := a.problem(t); !strings.HasPrefix(p.Message, "Sallyport failed, the API was not called: ") {
				t.Errorf("got %q", p.Message)
			}
			g.survived(t, 1)
			recorded(t, g, fault.Internal)
		})
	}
}

// recorded wants the first completed request on record with code.
func recorded(t *testing.T, g *gate, code fault.Code) {
	t.Helper()
	for _, r := range g.records() {
		if r.Event == string(audit.KindCompleted) {
			if r.Code != string(code) || r.Blame != string(fault.Lookup(code).Blame) {
				t.Errorf("on record: %+v", r)
			}
			return
		}
	}
	t.Error("nothing is on record")
}

// duplex is an upgraded connection to an API, with a bug in one of its ways.
type duplex struct {
	io.Reader
	io.Writer
	io.Closer
}

type bug struct{}

func (bug) Read([]byte) (int, error)  { panic("a bug") }
func (bug) Write([]byte) (int, error) { panic("a bug") }
func (bug) Close() error              { panic("a bug") }

// TestPanicInRelay: either direction of a WebSocket ends both by a panic.
func TestPanicInRelay(t *testing.T) {
	for name, make := range map[string]func(*io.PipeReader) duplex{
		"from the API": func(r *io.PipeReader) duplex { return duplex{bug{}, io.Discard, r} },
		"to the API":   func(r *io.PipeReader) duplex { return duplex{r, bug{}, r} },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, api("http://127.0.0.1:1"), options{mayPanic: true})
			r, _ := io.Pipe()
			g.service("api").Transport = failing{func() (*http.Response, error) {
				return &http.Response{
					StatusCode: http.StatusSwitchingProtocols,
					Header:     http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}}, Body: make(r),
				}, nil
			}}
			c := g.dial()
			_, _ = io.WriteString(c, keepAlive("GET", "/s/api/x", "Connection: Upgrade", "Upgrade: websocket"))
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("got %+v, %v", resp, err)
			}
			_, _ = io.WriteString(c, "\x81\x82\x00\x00\x00\x00hi") // a masked text frame
			_, _ = io.Copy(io.Discard, c)
			if o := g.finished(); o.Code != fault.Internal {
				t.Errorf("got %+v", o)
			}
			g.survived(t, 1)
			recorded(t, g, fault.Internal)
		})
	}
}

// TestPanicInAnswer: reading or closing what the API answers.
func TestPanicInAnswer(t *testing.T) {
	for name, body := range map[string]io.ReadCloser{
		"reading": duplex{Reader: bug{}, Closer: http.NoBody},
		"closing": duplex{Reader: http.NoBody, Closer: bug{}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, api("http://127.0.0.1:1"), options{mayPanic: true})
			g.service("api").Transport = failing{func() (*http.Response, error) {
				return &http.Response{
					StatusCode: http.StatusOK, Header: http.Header{}, Body: body,
					ContentLength: -1,
				}, nil
			}}
			_, _ = g.send(request("GET", "/s/api/x")) // it may be broken off
			if o := g.finished(); o.Code != fault.Internal {
				t.Errorf("got %+v", o)
			}
			g.survived(t, 1)
		})
	}
}

// buggyMint panics where a token is minted.
type buggyMint struct{}

func (buggyMint) Inputs() string                                           { return "inputs" }
func (buggyMint) Mint(context.Context, derive.State) (derive.State, error) { panic("a bug") }

// TestPanicInMint: a panic in the goroutine that mints a token fails those that wait for it, and is counted once.
func TestPanicInMint(t *testing.T) {
	u := newUpstream(t, nil)
	g := derivedGate(t, buggyMint{}, lark(u.url), options{mayPanic: true})
	a := g.do("GET", "/s/api/x")
	a.wantFault(t, fault.Internal)
	u.untouched(t)
	g.survived(t, 1)
}

// TestPanicInBody: what looks at a body as it is sent runs in the transport's goroutines.
func TestPanicInBody(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		for _, kept := range []bool{false, true} {
			s, caFile := http2Upstream(t, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
			})
			lines := []string{"ca_file: " + caFile}
			if protocol == "HTTP/2" {
				lines = append(lines, "http2: true")
			}
			var g *gate
			if kept {
				g = derivedGate(t, &mint{}, lark(s.URL, lines...), options{mayPanic: true})
			} else {
				g = newGate(t, api(s.URL, lines...), options{mayPanic: true})
			}
			r := httptest.NewRequest(http.MethodPost, "/s/api/x", duplex{Reader: bug{}, Closer: http.NoBody})
			r.Header.Set("X-Sallyport-Token", tokens.value["good"])
			w := httptest.NewRecorder()
			g.pipeline.Handle(w, r, &boundary.View{
				Service: "api", Path: "/x", Mount: "/s/api", Method: r.Method, Source: netip.MustParseAddr("127.0.0.1"),
				Header: boundary.NetHTTP(r.Header),
			})
			if o := g.finished(); o.Code != fault.Internal || w.Code != http.StatusInternalServerError {
				t.Errorf("%s, kept %v: got %+v and status %d", protocol, kept, o, w.Code)
			}
			g.survived(t, 1)
			recorded(t, g, fault.Internal)
		}
	}
}

// panicking is an audit log and an observer that panic at the end of a request.
type panicking struct{ failingAt }

func (*panicking) Complete(*audit.Event) { panic("a bug") }
func (*panicking) Refuse(*audit.Event)   { panic("a bug") }

// TestPanicAtTheEnd: recording panics; the request has its answer, is counted, and lets go of its places.
func TestPanicAtTheEnd(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, "limits: {concurrency: 1}"), options{audit: &panicking{}, mayPanic: true})
	for range 3 {
		g.do("GET", "/s/api/x").wantStatus(t, http.StatusOK)
		g.finished()
	}
	if n := g.service("api").Limits.Active(); n != 0 || g.pipeline.InFlight() != 0 {
		t.Errorf("%d places and %d requests in flight are left", n, g.pipeline.InFlight())
	}
	g.survived(t, 3)
}
