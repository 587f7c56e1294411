package gateway_test

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

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
	g.do("POST", "/s/api/x", "Transfer-Encoding: chunked", "\r\nb\r\n01234567890\r\n0\r\n\r\n").wantFault(t, fault.BodyTooLarge)
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
	_, _ = io.WriteString(kept, "GET /whoami HTTP/1.1\r\nHost: gate\r\nX-Sallyport-Token: "+tokens.value["good"]+"\r\n\r\n")
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
	if all, err := io.ReadAll(kept); err != nil || !strings.Contains(string(all), "503 Service Unavailable") || !strings.Contains(string(all), "Connection: close") {
		t.Errorf("got %q, %v; want the answer and the end of the connection", all, err)
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
	if len(list) != 5 || whole != 1 {
		t.Errorf("got records %+v", list)
	}
}
