package gateway_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// TestLingerOverTLS: a caller that is still sending when its answer comes gets the whole answer, over TLS too, and then
// the end of the connection: what it goes on sending is read meanwhile, and makes no kernel throw the answer away. The
// second half of each body is sent when the answer has begun, so that no body is at its end before.
func TestLingerOverTLS(t *testing.T) {
	earlyURL, _ := early(t, "413 Content Too Large")
	const length = 6 << 20
	body := strings.Repeat("GET /s/api/smuggled HTTP/1.1\r\nHost: gate\r\n\r\n", length/44+1)[:length]
	sized := fmt.Sprint("Content-Length: ", length)
	for name, c := range map[string]struct {
		head string
		want int
	}{
		"own response":     {keepAlive("POST", "/s/none/x", sized), http.StatusNotFound},
		"early answer":     {keepAlive("POST", "/s/api/x", sized), http.StatusRequestEntityTooLarge},
		"refused head":     {keepAlive("POST", "/s/api/x", sized, sized), http.StatusBadRequest},
		"chunked, refused": {keepAlive("POST", "/s/none/x", "Transfer-Encoding: chunked") + "zz\r\n", http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, api(earlyURL), options{tls: serverTLS(t)})
			conn, err := tls.Dial("tcp", g.addr, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			sent, answered := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = io.WriteString(conn, c.head+body[:length/2])
				<-answered
				_, _ = io.WriteString(conn, body[length/2:])
			}()
			r := bufio.NewReader(conn)
			_, err = r.Peek(1)
			close(answered)
			if err != nil {
				t.Fatalf("no response: %v", err)
			}
			if a := readAnswer(t, r); a.StatusCode != c.want || !a.Close {
				t.Errorf("got %s, close %v; want %d and the end announced", a.Status, a.Close, c.want)
			}
			if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("behind the response: got %v, want EOF", err)
			}
			<-sent
			for _, r := range g.records() {
				if strings.Contains(r.Path, "smuggled") {
					t.Fatalf("a body was read as a request: %+v", r)
				}
			}
		})
	}
}

// stale are tokens that cannot be verified: the registry has not learnt of revocations for too long.
type stale struct{ boundary.Tokens }

func (stale) Verify(string) (*token.Grant, *fault.Fault) {
	return nil, fault.New(fault.StoreUnavailable, "revocations are not known")
}

// TestUnavailableKeepsOrCloses: the answers of a gate that takes no request follow the rule of connections too: goes
// on, or is announced as the last.
func TestUnavailableKeepsOrCloses(t *testing.T) {
	const poison = "GET /s/api/smuggled HTTP/1.1\r\nHost: gate\r\n\r\n"
	two := fmt.Sprint("Content-Length: ", 2*len(poison))
	bodies := map[string]struct {
		lines []string
		later string
		close bool
	}{
		"none":        {lines: []string{"Content-Length: 0"}},
		"small":       {lines: []string{two, "\r\n" + poison + poison}},
		"chunked":     {lines: []string{"Transfer-Encoding: chunked", fmt.Sprintf("\r\n%x\r\n%s\r\n0\r\n\r\n", len(poison), poison)}},
		"going on":    {lines: []string{two, "\r\n" + poison}, later: poison, close: true},
		"large":       {lines: []string{"Content-Length: 9000000", "\r\n" + poison}, later: strings.Repeat(poison, 1000), close: true},
		"no body yet": {lines: []string{two, "Expect: 100-continue"}, close: true},
	}
	for why, c := range map[string]struct {
		options options
		before  func(t *testing.T, g *gate)
		code    fault.Code
		ends    bool // whatever the body
	}{
		"draining": {before: func(_ *testing.T, g *gate) { g.pipeline.Drain() }, code: fault.Draining, ends: true},
		"overloaded": {options: options{inFlight: 1}, before: func(t *testing.T, g *gate) {
			held := keep(t, g)
			_, _ = io.WriteString(held, keepAlive("GET", "/s/api/held"))
			for end := time.Now().Add(20 * time.Second); g.pipeline.InFlight() == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the first request is not in flight")
				}
			}
		}, code: fault.Overloaded},
		"stale": {options: options{tokens: func(real boundary.Tokens) boundary.Tokens {
			return stale{real}
		}}, code: fault.StoreUnavailable},
		"sealed": {before: func(_ *testing.T, g *gate) {
			g.pipeline.Seal(fault.New(fault.StoreUnavailable, "sealed"))
		}, code: fault.StoreUnavailable},
	} {
		for what, body := range bodies {
			t.Run(why+"/"+what, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				g := newGate(t, api(hear(t, func(net.Conn) { <-release })), c.options)
				if c.before != nil {
					c.before(t, g)
				}
				k := keep(t, g)
				for i := range 3 {
					_, _ = io.WriteString(k, keepAlive("POST", "/s/api/x", body.lines...))
					a := readAnswer(t, k.r)
					if a.StatusCode != http.StatusServiceUnavailable || !strings.HasPrefix(a.Header.Get("Proxy-Status"),
						"sallyport; error=") {
						t.Fatalf("answer %d: got %s, %v", i, a.Status, a.Header)
					}
					_, _ = io.WriteString(k, body.later)
					if want := c.ends || body.close; a.Close != want {
						t.Fatalf("answer %d: close is %v, want %v", i, a.Close, want)
					}
					if o := g.finished(); o.Code != c.code {
						t.Errorf("counted as %q, want %q", o.Code, c.code)
					}
					if a.Close {
						k.wantClosed(t)
						return
					}
				}
			})
		}
	}
}
