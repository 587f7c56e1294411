package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"sallyport/internal/boundary/wire"
)

// closings counts what a limit closed, by why.
type closings struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *closings) add(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[why]++
}

func (c *closings) of(why string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[why]
}

// keptConn is a connection that goes on.
type keptConn struct {
	net.Conn
	r *bufio.Reader
}

func keep(t *testing.T, g *gate) *keptConn {
	t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &keptConn{c, bufio.NewReader(c)}
}

// ask sends a request with a valid token and takes the answer.
func (k *keptConn) ask(t *testing.T) {
	t.Helper()
	_, _ = io.WriteString(k, keepAlive("GET", "/s/api/x"))
	if a := readAnswer(t, k.r); a.StatusCode != http.StatusOK {
		t.Fatalf("got %d, want 200", a.StatusCode)
	}
}

// half sends half a head.
func half(t *testing.T, g *gate) *keptConn {
	t.Helper()
	k := keep(t, g)
	_, _ = io.WriteString(k, "GET /s/api/x HTTP/1.1\r\nHost: ga")
	return k
}

func (k *keptConn) wantClosed(t *testing.T) {
	t.Helper()
	if _, err := k.r.ReadByte(); err == nil {
		t.Error("got bytes, want the end of the connection")
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // as net returns it
		t.Error("the connection is still open")
	}
}

func TestHalfHeadsLeaveRoom(t *testing.T) {
	for name, limit := range map[string]wire.Limit{"in all": {Total: 8}, "of one source": {Total: 100, PerSource: 8}} {
		t.Run(name, func(t *testing.T) {
			var closed closings
			limit.Closed = closed.add
			u := hear(t, func(c net.Conn) { answerAll(c) })
			g := newGate(t, api(u), options{connections: limit})
			good := keep(t, g)
			good.ask(t)
			var bad []*keptConn
			for range 20 {
				bad = append(bad, half(t, g))
			}
			keep(t, g).ask(t)
			good.ask(t) // the proven one stayed, idle as it was
			for _, k := range bad[:12] {
				k.wantClosed(t)
			}
			if n := closed.of("source") + closed.of("total"); n < 12 || closed.of("refused") > 0 {
				t.Errorf("counted %v", closed.n)
			}
		})
	}
}

// TestProvenAreNotCountedAgainstTheirSource: as many as a fleet behind one address has.
func TestProvenAreNotCountedAgainstTheirSource(t *testing.T) {
	var closed closings
	u := hear(t, func(c net.Conn) { answerAll(c) })
	g := newGate(t, api(u), options{connections: wire.Limit{Total: 100, PerSource: 2, Closed: closed.add}})
	var all []*keptConn
	for range 12 {
		k := keep(t, g)
		k.ask(t)
		all = append(all, k)
	}
	for _, k := range all {
		k.ask(t)
	}
	if n := closed.of("source") + closed.of("total"); n != 0 {
		t.Errorf("%d were closed", n)
	}
}

// TestIdleGoesBeforeBusy: at the limit in all the one idle longest is closed, never one in a request; where all are,
// the new one is.
func TestIdleGoesBeforeBusy(t *testing.T) {
	var closed closings
	release, arrived := make(chan struct{}), make(chan struct{}, 8)
	u := newUpstream(t, func(c net.Conn, r *received) {
		if r.Method == "POST" {
			arrived <- struct{}{}
			<-release
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	})
	g := newGate(t, api(u.url), options{connections: wire.Limit{Total: 3, Closed: closed.add}})
	var busy []*keptConn
	begin := func() {
		k := keep(t, g)
		_, _ = io.WriteString(k, keepAlive("POST", "/s/api/x", "Content-Length: 0"))
		<-arrived
		busy = append(busy, k)
	}
	begin()
	first := keep(t, g)
	first.ask(t)
	begin()
	begin() // takes the place of the idle one
	first.wantClosed(t)
	keep(t, g).wantClosed(t)
	close(release)
	for _, k := range busy {
		if a := readAnswer(t, k.r); a.StatusCode != http.StatusOK {
			t.Errorf("got %d, want 200", a.StatusCode)
		}
	}
	if closed.of("total") != 1 || closed.of("refused") != 1 {
		t.Errorf("counted %v", closed.n)
	}
}
