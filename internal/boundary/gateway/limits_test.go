package gateway_test

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
)

func TestBodyLimit(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, "limits: {body: 10}"), options{})
	g.do("POST", "/s/api/x", "Content-Length: 10", "\r\n0123456789").wantStatus(t, 200)
	g.do("POST", "/s/api/x", "Transfer-Encoding: chunked", "\r\na\r\n0123456789\r\n0\r\n\r\n").wantStatus(t, 200)
	before := u.conns.Load()
	g.do("POST", "/s/api/x", "Content-Length: 11", "\r\n01234567890").wantFault(t, fault.BodyTooLarge)
	g.do("POST", "/s/api/x", "Content-Length: 1000000000000").wantFault(t, fault.BodyTooLarge)
	if got := u.conns.Load(); got != before {
		t.Error("a declared body that is too large reached the API")
	}
	g.do("POST", "/s/api/x", "Transfer-Encoding: chunked", "\r\nb\r\n01234567890\r\n0\r\n\r\n").wantFault(t,
		fault.BodyTooLarge)
	if got := len(u.got()); got != 2 {
		t.Errorf("the API got %d whole requests, want 2", got)
	}
}

// held is an API that keeps requests until it is told.
func held(t *testing.T) (u *upstream, arrived, release chan struct{}) {
	arrived, release = make(chan struct{}), make(chan struct{})
	return newUpstream(t, func(c net.Conn, r *received) {
		arrived <- struct{}{}
		<-release
		reply(okReply)(c, r)
	}), arrived, release
}

func TestConcurrencyLimit(t *testing.T) {
	u, arrived, release := held(t)
	g := newGate(t, api(u.url, "limits: {concurrency: 1}"), options{})
	for range 3 {
		done := make(chan *answer)
		go func() { done <- g.do("GET", "/s/api/x") }()
		<-arrived
		a := g.do("GET", "/s/api/y")
		a.wantFault(t, fault.RateLimited)
		if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || n < 1 {
			t.Errorf("got Retry-After %q", a.Header.Get("Retry-After"))
		}
		release <- struct{}{}
		(<-done).wantStatus(t, 200)
		for range 2 {
			g.finished()
		}
	}
	if n := len(u.got()); n != 3 {
		t.Errorf("the API got %d requests, want 3", n)
	}
}

func TestRateLimit(t *testing.T) {
	u := newUpstream(t, nil)
	g := newGate(t, api(u.url, "limits: {rate: 1/h, burst: 2, concurrency: 1}"), options{})
	for range 2 {
		g.do("GET", "/s/api/x").wantStatus(t, 200)
		g.finished()
	}
	for range 3 {
		a := g.do("GET", "/s/api/x")
		a.wantFault(t, fault.RateLimited)
		if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || n < 3000 || n > 3601 {
			t.Errorf("got Retry-After %q, want about an hour", a.Header.Get("Retry-After"))
		}
		if n := g.service("api").Limits.Active(); n != 0 {
			t.Errorf("%d places are held", n)
		}
	}
}

func TestOverload(t *testing.T) {
	u, arrived, release := held(t)
	g := newGate(t, api(u.url), options{inFlight: 1})
	done := make(chan *answer)
	go func() { done <- g.do("GET", "/s/api/x") }()
	<-arrived
	g.do("GET", "/s/api/y").wantFault(t, fault.Overloaded)
	release <- struct{}{}
	(<-done).wantStatus(t, 200)
}

// TestDrain: what is in flight ends well, what comes then is told to come again, and nothing is lost from the record.
func TestDrain(t *testing.T) {
	u, arrived, release := held(t)
	g := newGate(t, api(u.url), options{})
	done := make(chan *answer)
	go func() { done <- g.do("GET", "/s/api/x") }()
	<-arrived
	kept := g.dial() // a connection from before
	_, _ = io.WriteString(kept, "GET /whoami HTTP/1.1\r\nHost: gate\r\nX-Sallyport-Token: "+
		tokens.value["good"]+"\r\n\r\n")
	buf := make([]byte, 12)
	if _, err := io.ReadFull(kept, buf); err != nil || string(buf) != "HTTP/1.1 200" {
		t.Fatalf("got %q, %v", buf, err)
	}
	g.pipeline.Drain()
	a := g.do("GET", "/s/api/y")
	a.wantFault(t, fault.Draining)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	_, _ = io.WriteString(kept, strings.Replace(request("GET", "/s/api/z"), "Connection: close\r\n", "", 1))
	if all, err := io.ReadAll(kept); err != nil || !strings.Contains(string(all), "503 Service Unavailable") ||
		!strings.Contains(string(all), "Connection: close") {
		t.Errorf("got %q, %v; want the response and the end of the connection", all, err)
	}
	g.do("GET", "/whoami").wantFault(t, fault.Draining)
	release <- struct{}{}
	(<-done).wantStatus(t, http.StatusOK)
	list := g.records()
	var whole int
	for _, r := range list {
		if r.Event == "completed" && r.Status == 200 {
			whole++
		}
	}
	if len(list) != 7 || whole != 2 {
		t.Errorf("got records %+v", list)
	}
}

// TestShares: one token, and one service, leave room for the others.
func TestShares(t *testing.T) {
	for name, c := range map[string]struct {
		o          options
		same, free string // of a request that finds no room, and of one that does
		token      string // of the second
	}{
		"token":   {options{inFlight: 10, perToken: 2}, "/s/other/x", "/s/api/free", "other"},
		"service": {options{inFlight: 10, perService: 2}, "/s/api/x", "/s/other/free", "other"},
	} {
		t.Run(name, func(t *testing.T) {
			arrived, release := make(chan struct{}), make(chan struct{})
			u := newUpstream(t, func(c net.Conn, r *received) {
				if !strings.Contains(r.head, "/free") {
					arrived <- struct{}{}
					<-release
				}
				reply(okReply)(c, r)
			})
			g := newGate(t, api(u.url)+strings.Replace(api(u.url), "api:", "other:", 1), c.o)
			done := make(chan *answer)
			for range 2 {
				go func() { done <- g.do("GET", "/s/api/held") }()
				<-arrived
			}
			g.do("GET", c.same).wantFault(t, fault.RateLimited)
			g.do("GET", c.free, "-", "X-Sallyport-Token: "+tokens.value[c.token]).wantStatus(t, 200)
			close(release)
			for range 2 {
				(<-done).wantStatus(t, 200)
			}
			for range 4 {
				g.finished()
			}
			g.do("GET", "/s/api/free").wantStatus(t, 200) // the places were given back
		})
	}
}

// TestStalledBody: a body that does not move ends, in every way that it can be on its way, and gives its place back.
// One that moves may take its time.
func TestStalledBody(t *testing.T) {
	for name, line := range map[string]string{
		"length, at the start": "Content-Length: 1000\r\n\r\n", "length, in the middle": "Content-Length: 1000\r\n\r\nabc",
		"chunked, at the start": "Transfer-Encoding: chunked\r\n\r\n", "chunked, in a chunk": "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
		"chunked, between": "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
	} {
		for kind, credential := range map[string]string{
			"streamed": "credential: {kind: bearer, secret: ref+builtin://canary}", "signed": hmacLine,
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				u := newUpstream(t, nil)
				o := options{inFlight: 1}
				if kind == "signed" {
					o.parts = signing(hmacSigner(t)).parts
				}
				g := newGate(t, api(u.url, credential, "timeouts: {request_idle: 80ms}"), o)
				head := strings.Replace(strings.TrimSuffix(request("POST", "/s/api/x"), "\r\n"),
					"Connection: close\r\n", "", 1)
				answers, _ := g.send(head + line)
				if len(answers) != 1 {
					t.Fatalf("got %d answers", len(answers))
				}
				answers[0].wantFault(t, fault.RequestTimeout)
				g.finished()
				if !answers[0].Close {
					t.Error("the connection is said to go on")
				}
				if n := g.pipeline.InFlight(); n != 0 {
					t.Errorf("%d places are held", n)
				}
			})
		}
	}
	t.Run("slow", func(t *testing.T) {
		u := newUpstream(t, nil)
		g := newGate(t, api(u.url, "timeouts: {request_idle: 400ms}"), options{})
		c := g.dial()
		_, _ = io.WriteString(c, request("POST", "/s/api/x", "Content-Length: 12"))
		for range 12 { // 600 ms altogether
			time.Sleep(50 * time.Millisecond)
			_, _ = io.WriteString(c, "x")
		}
		if all, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 200") {
			t.Errorf("got %q, %v", all, err)
		}
	})
	t.Run("the API is slow", func(t *testing.T) {
		u := newUpstream(t, func(c net.Conn, r *received) {
			time.Sleep(300 * time.Millisecond)
			reply(okReply)(c, r)
		})
		g := newGate(t, api(u.url, "timeouts: {request_idle: 80ms}"), options{})
		g.do("POST", "/s/api/x", "Content-Length: 3", "\r\nabc").wantStatus(t, 200)
	})
}
