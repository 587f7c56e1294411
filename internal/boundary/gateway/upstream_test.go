package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// upstream is an API that keeps what it received byte for byte, and answers raw bytes.
type upstream struct {
	url    string
	conns  atomic.Int64
	reply  func(c net.Conn, r *received)
	onBody func(err error) // may be set before the first request: how reading the body ended

	mu       sync.Mutex
	requests []*received
	open     sync.WaitGroup
}

// received is one request as it arrived.
type received struct {
	*http.Request
	head string // request line and header, raw
	body []byte
}

const okReply = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"

// reply answers every request with the same bytes and closes.
func reply(raw string) func(net.Conn, *received) {
	return func(c net.Conn, _ *received) { _, _ = io.WriteString(c, raw) }
}

// newUpstream starts an API over plain HTTP. answer runs once the request is there whole; the connection closes after
// it.
func newUpstream(t testing.TB, answer func(c net.Conn, r *received)) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveUpstream(t, l, "http://", answer)
}

// newTLSUpstream is newUpstream over TLS; caFile is what to trust.
func newTLSUpstream(t testing.TB, answer func(c net.Conn, r *received)) (u *upstream, caFile string) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	cert := s.TLS.Certificates[0]
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		0o600); err != nil {
		t.Fatal(err)
	}
	s.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	return serveUpstream(t, l, "https://", answer), caFile
}

func serveUpstream(t testing.TB, l net.Listener, scheme string, answer func(c net.Conn, r *received)) *upstream {
	if answer == nil {
		answer = reply(okReply)
	}
	u := &upstream{url: scheme + l.Addr().String(), reply: answer}
	u.open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			u.conns.Add(1)
			u.open.Go(func() { u.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); u.open.Wait() })
	return u
}

func (u *upstream) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	var raw bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &raw)))
	if err != nil {
		return
	}
	r := &received{Request: req}
	r.body, err = io.ReadAll(req.Body)
	if u.onBody != nil {
		u.onBody(err)
	}
	if err != nil {
		return
	}
	head, _, _ := strings.Cut(raw.String(), "\r\n\r\n")
	r.head = head
	u.mu.Lock()
	u.requests = append(u.requests, r)
	u.mu.Unlock()
	u.reply(c, r)
}

// got returns the requests so far.
func (u *upstream) got() []*received {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*received(nil), u.requests...)
}

// only wants exactly one request.
func (u *upstream) only(t testing.TB) *received {
	t.Helper()
	got := u.got()
	if len(got) != 1 {
		t.Fatalf("the API got %d requests, want 1", len(got))
	}
	return got[0]
}

// untouched wants that nobody ever connected.
func (u *upstream) untouched(t testing.TB) {
	t.Helper()
	if n := u.conns.Load(); n != 0 {
		t.Errorf("the API got %d connections, want none", n)
	}
}

// lines returns the header lines as sent, without the request line.
func (r *received) lines() []string { return strings.Split(r.head, "\r\n")[1:] }
