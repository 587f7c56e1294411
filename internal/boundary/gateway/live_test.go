package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// openings are the ways in which an exchange can last: each opens one with a token and returns what the caller still
// reads.
var openings = map[string]func(t *testing.T, g *gate, bearer string) net.Conn{
	"websocket": func(t *testing.T, g *gate, bearer string) net.Conn {
		c := g.dial()
		_, _ = io.WriteString(c, keepAlive("GET", "/s/api/socket", "-", "X-Sallyport-Token: "+bearer,
			"Connection: Upgrade", "Upgrade: websocket"))
		wantHead(t, c, "101")
		return c
	},
	"events": func(t *testing.T, g *gate, bearer string) net.Conn {
		c := g.dial()
		_, _ = io.WriteString(c, keepAlive("GET", "/s/api/events", "-", "X-Sallyport-Token: "+bearer))
		wantHead(t, c, "200")
		return c
	},
	"download that nobody reads": func(t *testing.T, g *gate, bearer string) net.Conn {
		c := g.dial()
		_, _ = io.WriteString(c, keepAlive("GET", "/s/api/download", "-", "X-Sallyport-Token: "+bearer))
		wantHead(t, c, "200")
		return c
	},
	"upload": func(t *testing.T, g *gate, bearer string) net.Conn {
		c := g.dial()
		_, _ = io.WriteString(c, keepAlive("POST", "/s/api/upload", "-", "X-Sallyport-Token: "+bearer,
			"Content-Length: 1000000", "\r\nthe beginning"))
		return c
	},
	"silence": func(t *testing.T, g *gate, bearer string) net.Conn {
		c := g.dial()
		_, _ = io.WriteString(c, request("GET", "/s/api/silence", "-", "X-Sallyport-Token: "+bearer))
		return c
	},
}

func wantHead(t *testing.T, c net.Conn, status string) {
	t.Helper()
	b := make([]byte, 12)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "HTTP/1.1 "+status {
		t.Fatalf("got %q, %v", b, err)
	}
}

// lasting is an API none of whose answers ends. It tells when it has a request.
func lasting(t *testing.T) (url string, called chan string) {
	called = make(chan string, 100)
	return hear(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		switch req.URL.Path {
		case "/socket":
			_, _ = io.WriteString(c,
				"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		case "/events":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
		case "/small":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
		case "/nothing":
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		case "/stalled":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		case "/download":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
			called <- req.URL.Path
			_, _ = io.Copy(c, &zeros{n: 1_000_000_000})
			return
		}
		called <- req.URL.Path
		_, _ = io.Copy(io.Discard, r)
	}), called
}

// TestLiveExchangesEnd: whatever would make a request be refused ends those that are under way, within a moment, and
// the record says why.
func TestLiveExchangesEnd(t *testing.T) {
	all := token.Scope{Services: []string{"*"}}
	changes := map[string]struct {
		expires time.Duration
		code    fault.Code
		change  func(g *gate, name, svc string)
	}{
		"revoked": {code: fault.TokenRevoked, change: func(g *gate, name, _ string) {
			if _, err := tokens.registry.Revoke(context.Background(), name); err != nil {
				g.Error(err)
			}
			g.pipeline.Recheck()
		}},
		"expired": {expires: 600 * time.Millisecond, code: fault.TokenExpired, change: func(g *gate, _, _ string) {
			for range 200 {
				g.pipeline.RecheckOld(0)
				if g.pipeline.InFlight() == 0 {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}},
		"scope narrowed": {code: fault.RequestDenied, change: func(g *gate, name, _ string) {
			g.pipeline.Route(boundary.Configuration{
				Services: g.pipeline.Services(),
				Scopes:   token.NewScopes(map[string]token.Scope{name: {Services: []string{"another"}}}),
			})
		}},
		"service removed": {code: fault.ServiceUnknown, change: func(g *gate, _, _ string) {
			g.pipeline.Route(boundary.Configuration{Services: service.NewTable(nil)})
		}},
		"rule tightened": {code: fault.RequestDenied, change: func(g *gate, _, upstream string) {
			g.pipeline.Route(boundary.Configuration{Services: table(g,
				api(upstream, "allow: [GET /other]"), options{})})
		}},
	}
	n := 0
	for what, change := range changes {
		for how, open := range openings {
			n++
			name := fmt.Sprint("live", n)
			t.Run(what+"/"+how, func(t *testing.T) {
				upstream, called := lasting(t)
				g := newGate(t, api(upstream), options{})
				expires := time.Time{}
				if change.expires > 0 {
					expires = time.Now().Add(change.expires)
				}
				bearer, _, err := tokens.registry.Issue(t.Context(), name, all, expires)
				if err != nil {
					t.Fatal(err)
				}
				c := open(t, g, string(bearer.Reveal()))
				<-called
				g.pipeline.Recheck() // ends nothing that is still allowed
				if g.pipeline.InFlight() != 1 {
					t.Fatal("the exchange ended without a reason")
				}
				began := time.Now()
				change.change(g, name, upstream)
				if o := g.finished(); o.Code != change.code || time.Since(began) > 5*time.Second {
					t.Errorf("got %+v after %v, want %s", o, time.Since(began), change.code)
				}
				rest, _ := io.ReadAll(io.LimitReader(c, 64<<20)) // the deadline of dial bounds it
				if told := strings.Contains(string(rest), string(change.code)); told != (how == "upload" ||
					how == "silence") {
					t.Errorf("the caller was told: %v: %.300q", told, rest)
				}
				records := g.records()
				if last := records[len(records)-1]; last.Code != string(change.code) || last.Blame != "caller" ||
					last.Event != "completed" {
					t.Errorf("got record %+v", last)
				}
			})
		}
	}
}

// TestEndedWhileAnswering: an exchange that is ended as its answer is on its way does not leave the caller without any.
// A head arrives, and a small answer as a whole; of everything else the rest is broken off. An answer of the gate's own
// is for before that.
func TestEndedWhileAnswering(t *testing.T) {
	ends := map[fault.Code]func(g *gate, name string){
		fault.TokenRevoked: func(g *gate, name string) {
			if _, err := tokens.registry.Revoke(context.Background(), name); err != nil {
				g.Error(err)
			}
			g.pipeline.Recheck()
		},
		fault.Draining: func(g *gate, _ string) { g.pipeline.EndAll(fault.New(fault.Draining, "stopping")) },
	}
	n := 0
	for code, end := range ends {
		for path, c := range map[string]struct {
			more  []string
			want  string // what the caller gets of it begins so
			whole bool
		}{
			"small":    {want: "HTTP/1.1 200", whole: true, more: []string{"Connection: close"}},
			"nothing":  {want: "HTTP/1.1 204", whole: true, more: []string{"Connection: close"}},
			"stalled":  {want: "HTTP/1.1 200"},
			"download": {want: "HTTP/1.1 200"},
			"events":   {want: "HTTP/1.1 200"},
			"socket":   {want: "HTTP/1.1 101", more: []string{"Connection: Upgrade", "Upgrade: websocket"}},
		} {
			n++
			name := fmt.Sprint("answering", n)
			t.Run(string(code)+"/"+path, func(t *testing.T) {
				upstream, _ := lasting(t)
				var g *gate
				last := make(chan *interrupted, 1)
				g = newGate(t, api(upstream), options{writer: func(w http.ResponseWriter) http.ResponseWriter {
					i := &interrupted{ResponseWriter: w, interrupt: func() { end(g, name) }}
					last <- i
					return i
				}})
				bearer, _, err := tokens.registry.Issue(t.Context(), name,
					token.Scope{Services: []string{"*"}}, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				conn := g.dial()
				_, _ = io.WriteString(conn,
					keepAlive("GET", "/s/api/"+path,
						append([]string{"-", "X-Sallyport-Token: " + string(bearer.Reveal())}, c.more...)...))
				got, _ := io.ReadAll(io.LimitReader(conn, 64<<20))
				o, want := g.finished(), code
				if c.whole {
					want = ""
				}
				if !strings.HasPrefix(string(got), c.want) ||
					strings.Contains(string(got), "problem+json") || o.Code != want {
					t.Errorf("on record as %q, want %q; the caller got %.300q", o.Code, want, got)
				}
				if path == "small" && !strings.HasSuffix(string(got), "whole") {
					t.Errorf("it is not whole: %q", got)
				}
				if until := (<-last).until; c.whole && !until.IsZero() {
					t.Errorf("the connection is left with a deadline, %s", until)
				}
			})
		}
	}
}

// TestUpgradeAtTheEnd: a WebSocket that would open when those that are open have been broken off is refused.
func TestUpgradeAtTheEnd(t *testing.T) {
	upstream, _ := lasting(t)
	g := newGate(t, api(upstream), options{})
	g.pipeline.CloseUpgraded()
	g.do("GET", "/s/api/socket", "Connection: Upgrade", "Upgrade: websocket").wantFault(t, fault.Draining)
}

// interrupted is a ResponseWriter under which something happens as the answer begins.
type interrupted struct {
	http.ResponseWriter
	interrupt func()
	until     time.Time // the last write deadline
}

func (i *interrupted) WriteHeader(status int) {
	i.interrupt()
	i.ResponseWriter.WriteHeader(status)
}

func (i *interrupted) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	i.interrupt()
	return http.NewResponseController(i.ResponseWriter).Hijack()
}

func (i *interrupted) SetWriteDeadline(t time.Time) error {
	i.until = t
	return http.NewResponseController(i.ResponseWriter).SetWriteDeadline(t)
}

func (i *interrupted) Flush() { _ = http.NewResponseController(i.ResponseWriter).Flush() }

func (i *interrupted) Unwrap() http.ResponseWriter { return i.ResponseWriter }

// TestChangeWhileDeciding: what changes between the decision about a request and its sending counts as well.
func TestChangeWhileDeciding(t *testing.T) {
	upstream, heads := early(t, "200 OK")
	bearer, _, err := tokens.registry.Issue(t.Context(), "deciding", token.Scope{Services: []string{"*"}}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	revoking := &hooked{}
	g := newGate(t, api(upstream), options{audit: revoking})
	revoking.authorise = func() {
		if _, err := tokens.registry.Revoke(t.Context(), "deciding"); err != nil {
			t.Error(err)
		}
		g.pipeline.Recheck()
	}
	g.do("GET", "/s/api/x", "-", "X-Sallyport-Token: "+string(bearer.Reveal())).wantFault(t, fault.TokenRevoked)
	if heads.Load() != 0 {
		t.Error("the API was called")
	}
}

// hooked is an audit log in which something happens before a use is on record.
type hooked struct{ authorise func() }

func (h *hooked) Authorise(context.Context, *audit.Event) error { h.authorise(); return nil }
func (*hooked) Complete(*audit.Event)                           {}
func (*hooked) Refuse(*audit.Event)                             {}
