package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/spool"
	"sallyport/internal/fault"
)

// hangsUp is an API that answers one request on each connection, and says how long after that it was closed by the
// gate.
func hangsUp(t *testing.T, lines string) (url string, after <-chan time.Duration) {
	t.Helper()
	closed := make(chan time.Duration, 10)
	return hear(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+lines+"Content-Length: 2\r\n\r\nok")
		answered := time.Now()
		if _, err := r.ReadByte(); errors.Is(err, io.EOF) {
			closed <- time.Since(answered)
		}
	}), closed
}

// TestUnusedConnections: a connection that nobody uses is closed before the API closes it, after the idle time of the
// service, and when it is old.
func TestUnusedConnections(t *testing.T) {
	for name, c := range map[string]struct {
		lines, setting string
		before         time.Duration
	}{
		"the API's word":           {"Keep-Alive: timeout=1\r\n", "", 900 * time.Millisecond},
		"its word, with a maximum": {"Keep-Alive: max=100, Timeout=1\r\n", "", 900 * time.Millisecond},
		"at once":                  {"Keep-Alive: timeout=0\r\n", "", 900 * time.Millisecond},
		"the idle time":            {"Keep-Alive: timeout=600\r\n", "connections: {idle: 1s}", 20 * time.Second},
		"the age":                  {"", "connections: {age: 1s}", 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, after := hangsUp(t, c.lines)
			g := newGate(t, api(url, c.setting), options{})
			g.do("POST", "/s/api/x", "Content-Length: 2", "\r\n{}").wantStatus(t, 200)
			select {
			case d := <-after:
				if d > c.before {
					t.Errorf("closed after %s, want it before %s", d, c.before)
				}
			case <-time.After(30 * time.Second):
				t.Error("it was never closed")
			}
		})
	}
}

// TestOldConnections: under steady traffic there is a new connection once the old one has its age, over either
// protocol.
func TestOldConnections(t *testing.T) {
	for _, protocol := range []string{"1.1", "2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s, caFile := http2Upstream(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.Proto)
			})
			lines := []string{"ca_file: " + caFile, "connections: {age: 1s}"}
			if protocol == "2" {
				lines = append(lines, "http2: true")
			}
			g := newGate(t, api(s.URL, lines...), options{})
			var remote sync.Map // one request may be given several, of which the first had just ended
			transport := g.service("api").Transport
			t.Cleanup(transport.(*egress.Transport).CloseIdle) // the service does not know it any more
			g.service("api").Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				see := func(i httptrace.GotConnInfo) { remote.Store(i.Conn.LocalAddr().String(), true) }
				return transport.RoundTrip(r.WithContext(&watchedContext{r.Context(), see}))
			})
			count := func() (n int) {
				remote.Range(func(any, any) bool { n++; return true })
				return n
			}
			steady := time.NewTicker(5 * time.Millisecond)
			defer steady.Stop()
			for deadline := time.Now().Add(time.Minute); count() < 3; <-steady.C {
				if time.Now().After(deadline) {
					t.Fatalf("after a minute with a greatest age of 1 s there were %d connections", count())
				}
				if a := g.do("GET", "/s/api/x"); !strings.HasPrefix(string(a.body), "HTTP/"+protocol) {
					t.Fatalf("got %s", a.raw)
				}
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// watchedContext lets a test see the connections of a request first.
type watchedContext struct {
	context.Context //nolint:containedctx // it is one
	see             func(httptrace.GotConnInfo)
}

func (c *watchedContext) CancelCause(cause error) {
	c.Context.(interface{ CancelCause(cause error) }).CancelCause(cause)
}

func (c *watchedContext) Connected(info httptrace.GotConnInfo) {
	c.Context.(interface {
		Connected(info httptrace.GotConnInfo)
	}).Connected(info)
	c.see(info)
}

// TestConnectionEndsBeforeTheRequest: a request of any method, of which nothing was written because the connection that
// was kept for it had ended, goes out on another one, with its body, and that is on record.
func TestConnectionEndsBeforeTheRequest(t *testing.T) {
	big := strings.Repeat("b", 20_000)
	for name, lines := range map[string][]string{
		"no body": {"Content-Length: 0"}, "small": {"Content-Length: 2", "\r\n{}"}, "larger": {"Content-Length: 20000", "\r\n" + big}, "chunked": {"Transfer-Encoding: chunked", "\r\n2\r\n{}\r\n0\r\n\r\n"},
	} {
		for _, method := range []string{"POST", "PATCH", "DELETE", "GET"} {
			t.Run(name+" "+method, func(t *testing.T) {
				bodies := make(chan string, 10)
				url := hear(t, func(c net.Conn) {
					for r := bufio.NewReader(c); ; {
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						body, _ := io.ReadAll(req.Body)
						bodies <- string(body)
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				})
				g := newGate(t, api(url), options{})
				g.do("GET", "/s/api/first").wantStatus(t, 200)
				<-bodies
				transport, ended := g.service("api").Transport, false
				g.service("api").Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
					return transport.RoundTrip(r.WithContext(&watchedContext{
						r.Context(),
						func(i httptrace.GotConnInfo) {
							if !ended {
								ended = true
								_ = i.Conn.Close()
							}
						},
					}))
				})
				g.do(method, "/s/api/second", lines...).wantStatus(t, 200)
				want := map[string]string{"small": "{}", "larger": big, "chunked": "{}"}[name]
				if got := <-bodies; got != want || len(bodies) > 0 {
					t.Errorf("the API got %.20q (%d bytes) and %d more requests", got, len(got), len(bodies))
				}
				if n := uses(t, g); n != 2 {
					t.Errorf("%d uses are on record, want 2", n)
				}
			})
		}
	}
}

// TestSeenRequests: what the API may have seen goes out once more only where its method or its Idempotency-Key permits
// that.
func TestSeenRequests(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		lines  []string
		again  bool
	}{
		"POST":          {"POST", []string{"Content-Length: 2", "\r\n{}"}, false},
		"empty POST":    {"POST", []string{"Content-Length: 0"}, false},
		"DELETE":        {"DELETE", nil, false},
		"with a key":    {"POST", []string{"Idempotency-Key: 1", "Content-Length: 2", "\r\n{}"}, true},
		"GET, body":     {"GET", []string{"Content-Length: 2", "\r\n{}"}, true},
		"key, too long": {"POST", []string{"Idempotency-Key: 1", "Content-Length: 40000", "\r\n" + strings.Repeat("b", 40_000)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			onUsed(t, func() bool {
				upstream, sent, used := forgetful(t)
				g := newGate(t, api(upstream), options{})
				g.do("GET", "/s/api/first").wantStatus(t, 200)
				a := g.do(c.method, "/s/api/second", c.lines...)
				if !used.Load() {
					return false
				}
				want := 1
				if c.again {
					want = 2
					a.wantStatus(t, 200)
				} else {
					a.wantFault(t, fault.UpstreamReset)
				}
				if n := uses(t, g); n != want || int(sent.Load()) != want+1 {
					t.Errorf("the API saw %d requests, and %d uses of the second are on record", sent.Load(), n)
				}
				return true
			})
		})
	}
}

// TestUnprocessedOverHTTP2: a POST that the API says not to have processed goes out once more with its body, and that
// is on record; one that it may have processed, or whose body is too long to be kept, does not.
func TestUnprocessedOverHTTP2(t *testing.T) {
	goAway := func(f *http2.Framer, first, _ uint32) bool {
		_ = f.WriteGoAway(first, http2.ErrCodeNo, nil)
		return false
	}
	reset := func(why http2.ErrCode) func(*http2.Framer, uint32, uint32) bool {
		return func(f *http2.Framer, _, second uint32) bool { _ = f.WriteRSTStream(second, why); return false }
	}
	for name, c := range map[string]struct {
		refuse func(f *http2.Framer, first, second uint32) (ends bool)
		lines  []string
		size   int
		again  bool
	}{
		"GOAWAY":         {goAway, nil, 500, true},
		"REFUSED_STREAM": {reset(http2.ErrCodeRefusedStream), nil, 500, true},
		"an error":       {reset(http2.ErrCodeInternal), nil, 500, false},
		"GOAWAY behind it": {func(f *http2.Framer, _, second uint32) bool {
			_ = f.WriteGoAway(second, http2.ErrCodeInternal, nil)
			return true
		}, nil, 500, false},
		"GOAWAY, not kept":    {goAway, []string{"replay: {memory: 1KiB}"}, 5000, false},
		"GOAWAY, kept enough": {goAway, []string{"replay: {memory: 8KiB}"}, 5000, true},
	} {
		t.Run(name, func(t *testing.T) {
			upstream, caFile, sent := refusing(t, c.refuse)
			g := newGate(t, api(upstream, append(c.lines, "http2: true", "ca_file: "+caFile)...), options{})
			g.do("GET", "/s/api/first").wantStatus(t, 200)
			body := strings.Repeat("b", c.size)
			a := g.do("POST", "/s/api/second", "Transfer-Encoding: chunked", "\r\n"+chunkOf(body)+"0\r\n\r\n")
			want := 1
			if c.again {
				want = 2
				a.wantStatus(t, 200)
			} else if a.problem(t).Blame != string(fault.BlameUpstream) {
				t.Errorf("got %s", a.raw)
			}
			if n := uses(t, g); n != want || int(sent.Load()) != want+1 {
				t.Errorf("the API saw %d requests, and %d uses of the second are on record, want %d",
					sent.Load(), n, want)
			}
		})
	}
}

// refusing is an API on HTTP/2 that answers the first request of each connection, and refuses the second of the first
// one once all of it is there.
func refusing(t *testing.T, refuse func(f *http2.Framer, first, second uint32) (ends bool)) (url, caFile string,
	sent *atomic.Int64,
) {
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
			h := frame.Header()
			// the same bit in both
			if h.Type != http2.FrameHeaders && h.Type != http2.FrameData || !h.Flags.Has(http2.FlagDataEndStream) {
				continue
			}
			if first == 0 {
				first = h.StreamID
			}
			if sent.Add(1) == 2 {
				if refuse(f, first, h.StreamID) {
					return
				}
				continue
			}
			// :status 200
			_ = f.WriteHeaders(http2.HeadersFrameParam{
				StreamID: h.StreamID, BlockFragment: []byte{0x88},
				EndHeaders: true, EndStream: true,
			})
		}
	}), caFile, sent
}

func chunkOf(body string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(body), body) }

// TestSmallBodiesAreBounded: the beginnings that are kept of bodies take room of the same budget as bodies that are
// kept whole. What finds none streams, and is not sent again.
func TestSmallBodiesAreBounded(t *testing.T) {
	body := strings.Repeat("b", 8<<10)
	for name, c := range map[string]struct {
		lines []string
		room  int64
		again bool
	}{
		"length, room":     {[]string{"Content-Length: 8192", "\r\n" + body}, 8 << 10, true},
		"length, none":     {[]string{"Content-Length: 8192", "\r\n" + body}, 8<<10 - 1, false},
		"chunked, room":    {[]string{"Transfer-Encoding: chunked", "\r\n2000\r\n" + body + "\r\n0\r\n\r\n"}, 32 << 10, true},
		"chunked, none":    {[]string{"Transfer-Encoding: chunked", "\r\n2000\r\n" + body + "\r\n0\r\n\r\n"}, 4 << 10, false},
		"no body, no room": {[]string{"Content-Length: 0"}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			upstream := hear(t, func(c net.Conn) {
				for r, i := bufio.NewReader(c), 0; ; i++ {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					if sent.Add(1); i > 0 {
						return // it saw the request, and says nothing
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			})
			budget := spool.NewBudget(c.room, 1)
			g := newGate(t, api(upstream), options{kept: budget})
			g.do("GET", "/s/api/first").wantStatus(t, 200)
			a := g.do("POST", "/s/api/second", append([]string{"Idempotency-Key: 1"}, c.lines...)...)
			want := map[bool]int64{true: 3, false: 2}[c.again]
			if sent.Load() != want || (a.StatusCode == 200) != c.again {
				t.Errorf("the API saw %d requests, want %d; got %s", sent.Load(), want, a.raw)
			}
			g.stop()
			if memory, disk := budget.InUse(); memory != 0 || disk != 0 {
				t.Errorf("%d bytes in memory and %d on disk were not given back", memory, disk)
			}
		})
	}
}
