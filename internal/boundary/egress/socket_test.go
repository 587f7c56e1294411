package egress_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"sallyport/internal/boundary/egress"
)

// ender is an API that ends its connections as the test says. It notes the bodies that it has read to their end, or
// begun to.
type ender struct {
	net.Listener
	transport *egress.Transport
	url       string

	mu   sync.Mutex
	seen map[string]int
}

// newEnder serves each connection with serve; secure is nil for plain TCP.
func newEnder(t *testing.T, secure bool, serve func(e *ender, c net.Conn, r *bufio.Reader)) *ender {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &ender{Listener: l, seen: map[string]int{}, url: "http://" + l.Addr().String()}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	o := egress.Options{
		Host: "127.0.0.1", Port: port,
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	}
	var server *tls.Config
	if secure {
		s := httptest.NewUnstartedServer(nil)
		s.StartTLS() // for its certificate
		server = &tls.Config{Certificates: s.TLS.Certificates}
		o.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig
		e.url = "https://" + l.Addr().String()
		s.Close()
	}
	if e.transport, err = egress.New(o); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if secure {
				c = tls.Server(c, server)
			}
			running.Go(func() {
				defer c.Close()
				serve(e, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		e.transport.CloseIdle()
		running.Wait()
	})
	return e
}

// note reads a request, and notes its body.
func (e *ender) note(r *bufio.Reader) error {
	req, err := http.ReadRequest(r)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.seen[req.Header.Get("X-Id")]++
	e.mu.Unlock()
	_, err = io.Copy(io.Discard, req.Body)
	return err
}

// post sends one POST, again while the API is known to have seen nothing of it. It returns how often it was sent.
func (e *ender) post(ctx context.Context, id, body string) (sendings int, err error) {
	for sendings = 1; ; sendings++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, io.NopCloser(strings.NewReader(body)))
		if err != nil {
			return sendings, err
		}
		req.ContentLength = int64(len(body))
		req.Header.Set("X-Id", id)
		resp, err := e.transport.RoundTrip(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			return sendings, err
		}
		if !egress.Unprocessed(err) {
			return sendings, err
		}
	}
}

const answered = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// TestFateOfARequest: what is written on a connection that the API has closed was refused by its kernel; what that may
// have taken was not.
func TestFateOfARequest(t *testing.T) {
	for name, c := range map[string]struct {
		api   func(c *net.TCPConn, written chan struct{}) // what the API does when the request before has been answered
		first bool                                        // the API acts before the request is written
		want  bool
	}{
		"closed before": {func(c *net.TCPConn, _ chan struct{}) {
			_ = c.Close()
		}, true, runtime.GOOS == "linux"},
		"one direction is open": {func(c *net.TCPConn, w chan struct{}) {
			_ = c.CloseWrite()
			<-w
			_, _ = io.ReadFull(c, make([]byte, 4))
		}, true, false},
		"reset before": {func(c *net.TCPConn, _ chan struct{}) {
			_ = c.SetLinger(0)
			_ = c.Close()
		}, true, false},
		"closed on all of it": {func(c *net.TCPConn, w chan struct{}) {
			<-w
			// for the bytes to be there; too short makes the test weaker, and never fail
			time.Sleep(10 * time.Millisecond)
			_ = c.Close()
		}, false, false},
		"read in part": {func(c *net.TCPConn, _ chan struct{}) {
			_, _ = io.ReadFull(c, make([]byte, 2))
			_ = c.Close()
		}, false, false},
		"read to its end": {func(c *net.TCPConn, _ chan struct{}) {
			_, _ = io.ReadFull(c, make([]byte, 4))
			_ = c.Close()
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			written, acted := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(acted)
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.ReadFull(conn, make([]byte, 3))
				_, _ = io.WriteString(conn, "ok")
				c.api(conn.(*net.TCPConn), written)
			}()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			s := egress.NewSocket(conn)
			if s == nil {
				if c.want {
					t.Fatal("nothing can be told")
				}
				return
			}
			_, _ = io.WriteString(s, "one")
			_, _ = io.ReadFull(s, make([]byte, 2))
			s.Begin()
			if c.first && !strings.Contains(name, "direction") {
				<-acted
			}
			_, _ = io.WriteString(s, "next")
			close(written)
			_, _ = io.Copy(io.Discard, s)
			<-acted
			if got := s.Refused(500 * time.Millisecond); got != c.want {
				t.Errorf("refused is %v, want %v", got, c.want)
			}
		})
	}
}

// TestClosedUnderARequest: an API ends its unused connections at any time, also while requests are on their way there.
// None is processed twice, and of those whose sending failed nothing was processed and answered.
func TestClosedUnderARequest(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			e := newEnder(t, secure, func(e *ender, c net.Conn, r *bufio.Reader) {
				for {
					if e.note(r) != nil {
						return
					}
					_, _ = io.WriteString(c, answered)
					_ = c.SetReadDeadline(time.Now().Add(time.Duration(rand.IntN(300)) * time.Microsecond))
					if _, err := r.Peek(1); err != nil {
						return
					}
					_ = c.SetReadDeadline(time.Time{})
				}
			})
			const callers, each = 4, 250
			var again, failed, succeeded atomic.Int64
			var group sync.WaitGroup
			for caller := range callers {
				group.Go(func() {
					for i := range each {
						sendings, err := e.post(t.Context(), fmt.Sprint(caller, " ", i), strings.Repeat("x", i))
						again.Add(int64(sendings - 1))
						if err != nil {
							failed.Add(1)
							continue
						}
						succeeded.Add(1)
					}
				})
			}
			group.Wait()
			e.mu.Lock()
			defer e.mu.Unlock()
			for id, n := range e.seen {
				if n != 1 {
					t.Errorf("%s was processed %d times", id, n)
				}
			}
			if got := int64(len(e.seen)); got != succeeded.Load() {
				t.Errorf("%d were processed, and %d succeeded", got, succeeded.Load())
			}
			t.Logf("of %d requests %d were sent again, and %d failed", callers*each, again.Load(), failed.Load())
		})
	}
}

// TestAnswerIsHandedOver: an answer that is there is the caller's, whatever becomes of its connection, which others may
// have before the answer is handed over.
func TestAnswerIsHandedOver(t *testing.T) {
	for name, meanwhile := range map[string]func(ctx context.Context, e *ender){
		"the next request fails": func(ctx context.Context, e *ender) {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url,
				io.NopCloser(iotest.ErrReader(io.ErrClosedPipe)))
			if err != nil {
				panic(err)
			}
			req.ContentLength = 1
			if resp, err := e.transport.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
		},
		"unused connections are closed": func(_ context.Context, e *ender) { e.transport.CloseIdle() },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnder(t, false, func(e *ender, c net.Conn, r *bufio.Reader) {
				for e.note(r) == nil {
					_, _ = io.WriteString(c, answered)
				}
			})
			var others sync.WaitGroup
			defer others.Wait()
			unused := func(error) { // the connection is nobody's now for http.Transport, and the answer not handed over
				others.Go(func() { meanwhile(t.Context(), e) })
				// for it to go as far as it may; too short makes the test weaker, and never fail
				time.Sleep(50 * time.Millisecond)
			}
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{PutIdleConn: unused})
			if sendings, err := e.post(ctx, "one", "body"); err != nil || sendings != 1 {
				t.Errorf("sent %d times: %v", sendings, err)
			}
		})
	}
}

// TestIdleClosedLate: what was to be closed while an answer arrived is closed when it is handed over.
func TestIdleClosedLate(t *testing.T) {
	ended := make(chan struct{})
	e := newEnder(t, false, func(e *ender, c net.Conn, r *bufio.Reader) {
		defer close(ended)
		for e.note(r) == nil {
			_, _ = io.WriteString(c, answered)
		}
	})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{PutIdleConn: func(error) {
		e.transport.CloseIdle()
	}})
	if _, err := e.post(ctx, "one", "body"); err != nil {
		t.Fatal(err)
	}
	<-ended
}
