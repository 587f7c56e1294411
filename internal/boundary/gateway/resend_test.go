package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"sallyport/internal/audit"
	"sallyport/internal/fault"
)

// forgetful is an API whose connections are dead at their second request, which it reads and does not answer.
func forgetful(t *testing.T) (url string, sent *atomic.Int64, used *atomic.Bool) {
	t.Helper()
	sent, used = new(atomic.Int64), new(atomic.Bool)
	return hear(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for i := 0; ; i++ {
			// all of it: to close on the rest would be a reset, of which net/http sends nothing again
			if _, err := readWhole(r); err != nil {
				return
			}
			if sent.Add(1); i > 0 {
				used.Store(true)
				return // it saw the request, and says nothing
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}), sent, used
}

// onUsed plays until the API has got a second request on the connection of the first. net/http gives up a connection
// whose writer has not said within 50 ms that it is through, as on a busy machine.
func onUsed(t *testing.T, play func() (used bool)) {
	t.Helper()
	for range 20 {
		if play() {
			return
		}
	}
	t.Fatal("no connection was used twice")
}

// uses are the records of the second request's credential.
func uses(t *testing.T, g *gate) (n int) {
	t.Helper()
	for _, r := range g.records() {
		if r.Event != string(audit.KindAuthorised) || r.Path != "/second" {
			continue
		}
		if n++; n > 1 && !strings.HasPrefix(r.Detail, "sent once more") {
			t.Errorf("got detail %q", r.Detail)
		}
	}
	return n
}

// TestDeadConnection: a request that the transport sends once more, because the connection that it had kept was dead,
// reaches its caller, and its second use is on record.
func TestDeadConnection(t *testing.T) {
	onUsed(t, func() bool {
		upstream, sent, used := forgetful(t)
		g := newGate(t, api(upstream), options{})
		g.do("GET", "/s/api/first").wantStatus(t, http.StatusOK)
		g.do("GET", "/s/api/second").wantStatus(t, http.StatusOK)
		if n := uses(t, g); used.Load() && (n != 2 || sent.Load() != 3) {
			t.Errorf("the API saw %d requests, and %d uses of the second are on record", sent.Load(), n)
		}
		return used.Load()
	})
}

// failingAt is an audit log that fails, or panics, at one of its records of uses, and notes what becomes of requests.
type failingAt struct {
	at, n  int
	panics bool

	mu        sync.Mutex
	completed []audit.Event
}

func (f *failingAt) Authorise(context.Context, *audit.Event) error {
	switch f.n++; {
	case f.n != f.at:
		return nil
	case f.panics:
		panic("a bug")
	default:
		return errors.New("the disk is full")
	}
}

func (f *failingAt) Complete(e *audit.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.completed = append(f.completed, *e)
}

func (*failingAt) Refuse(*audit.Event) {}

// TestDeadConnectionUnrecorded: what cannot be recorded is not sent once more, over either protocol.
func TestDeadConnectionUnrecorded(t *testing.T) {
	always := new(atomic.Bool)
	always.Store(true)
	for protocol, start := range map[string]func(*testing.T) (string, *atomic.Int64, *atomic.Bool){
		"HTTP/1.1": func(t *testing.T) (string, *atomic.Int64, *atomic.Bool) {
			upstream, sent, used := forgetful(t)
			return api(upstream), sent, used
		},
		"HTTP/2": func(t *testing.T) (string, *atomic.Int64, *atomic.Bool) {
			upstream, caFile, sent := leaving(t)
			return api(upstream, "http2: true", "ca_file: "+caFile), sent, always
		},
	} {
		for code, panics := range map[fault.Code]bool{fault.AuditUnavailable: false, fault.Internal: true} {
			t.Run(protocol+" "+string(code), func(t *testing.T) {
				onUsed(t, func() bool {
					yaml, sent, used := start(t)
					log := &failingAt{at: 3, panics: panics}
					g := newGate(t, yaml, options{audit: log, mayPanic: panics})
					g.do("GET", "/s/api/first").wantStatus(t, http.StatusOK)
					a := g.do("GET", "/s/api/second")
					g.stop()
					if !used.Load() {
						return false
					}
					a.wantFault(t, code)
					if p := a.problem(t); !strings.HasPrefix(p.Message,
						"Sallyport failed, the API may have been called: ") {
						t.Errorf("the first sending had left: got %q", p.Message)
					}
					wantUnrecorded(t, log, code, sent.Load())
					if got := g.panics.Load(); (got == 1) != panics {
						t.Errorf("got %d panics", got)
					}
					return true
				})
			})
		}
	}
}

// wantUnrecorded wants a third record that failed, and nothing sent that it was for.
func wantUnrecorded(t *testing.T, log *failingAt, code fault.Code, sent int64) {
	t.Helper()
	if sent != 2 || log.n != 3 {
		t.Errorf("the API saw %d requests, and %d uses were to be recorded", sent, log.n)
	}
	if len(log.completed) != 2 || log.completed[1].Code != string(code) {
		t.Errorf("on record: %+v", log.completed)
	}
}

// leaving is an API on HTTP/2 that answers the first request of each connection, and says at the second that it takes
// none any more (GOAWAY, RFC 9113 section 6.8).
func leaving(t *testing.T) (url, caFile string, sent *atomic.Int64) {
	t.Helper()
	sent = new(atomic.Int64)
	s, caFile := http2Upstream(t, nil)
	s.Close()
	return serveTLS(t, s, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		_ = f.WriteSettings()
		var first uint32
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			h, ok := frame.(*http2.HeadersFrame)
			switch {
			case !ok:
			case first == 0:
				sent.Add(1)
				first = h.StreamID
				// :status 200
				_ = f.WriteHeaders(http2.HeadersFrameParam{
					StreamID: first, BlockFragment: []byte{0x88},
					EndHeaders: true, EndStream: true,
				})
			default:
				sent.Add(1)
				_ = f.WriteGoAway(first, http2.ErrCodeNo, nil)
			}
		}
	}), caFile, sent
}

// TestGoAway: a request that the API has not looked at goes out once more, on another connection, and that is on
// record.
func TestGoAway(t *testing.T) {
	upstream, caFile, sent := leaving(t)
	g := newGate(t, api(upstream, "http2: true", "ca_file: "+caFile), options{})
	g.do("GET", "/s/api/first").wantStatus(t, http.StatusOK)
	g.do("GET", "/s/api/second").wantStatus(t, http.StatusOK)
	if n := uses(t, g); n != 2 || sent.Load() != 3 {
		t.Errorf("the API saw %d requests, and %d uses of the second are on record", sent.Load(), n)
	}
}

// stubborn is an API on HTTP/2 that refuses every request without a look at it (RFC 9113 section 8.7).
func stubborn(t *testing.T) (url, caFile string, refused *atomic.Int64) {
	t.Helper()
	refused = new(atomic.Int64)
	s, caFile := http2Upstream(t, nil)
	s.Close()
	return serveTLS(t, s, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := frame.(*http2.HeadersFrame); ok {
				refused.Add(1)
				_ = f.WriteRSTStream(h.StreamID, http2.ErrCodeRefusedStream)
			}
		}
	}), caFile, refused
}

// TestRefusedWithoutEnd: net/http would ask an API that refuses every request for a minute, whatever the service's
// timeouts are. Its first wait is a second.
func TestRefusedWithoutEnd(t *testing.T) {
	upstream, caFile, refused := stubborn(t)
	g := newGate(t, api(upstream, "http2: true", "ca_file: "+caFile, "timeouts: {response_header: 500ms}"), options{})
	g.do("GET", "/s/api/second").wantFault(t, fault.UpstreamTimeout)
	if n := uses(t, g); n != 2 || refused.Load() != 2 {
		t.Errorf("the API refused %d requests, and %d uses are on record", refused.Load(), n)
	}
}

// TestHTTP2ClosedBetween: the API closes its connections after an answer. The next request has another one, or its
// failure is told as the API's; it is sent as often as is on record.
func TestHTTP2ClosedBetween(t *testing.T) {
	var sent atomic.Int64
	s, caFile := http2Upstream(t, func(w http.ResponseWriter, r *http.Request) { sent.Add(1) })
	g := newGate(t, api(s.URL, "http2: true", "ca_file: "+caFile), options{})
	g.do("GET", "/s/api/first").wantStatus(t, http.StatusOK)
	s.CloseClientConnections()
	a := g.do("GET", "/s/api/second")
	if a.StatusCode != http.StatusOK && a.problem(t).Blame != string(fault.BlameUpstream) {
		t.Errorf("got %s", a.raw)
	}
	if n := uses(t, g); int64(n) < sent.Load()-1 {
		t.Errorf("the API saw %d requests, and %d uses of the second are on record", sent.Load(), n)
	}
}

// serveTLS serves raw connections with the certificate of s, and HTTP/2.
func serveTLS(t *testing.T, s *httptest.Server, serve func(net.Conn)) string {
	t.Helper()
	return strings.Replace(hearOn(t, s.TLS, serve), "http://", "https://", 1)
}
