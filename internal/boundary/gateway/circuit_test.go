package gateway_test

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
)

// TestCircuitOpens: an API that takes no connections is left alone, says so, and is called again as soon as it is back.
func TestCircuitOpens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	g := newGate(t, api("http://"+address, "circuit: {failures: 3, pause: 200ms, longest: 200ms}"), options{})
	for range 3 {
		g.do("GET", "/s/api/").wantFault(t, fault.UpstreamRefused)
	}
	a := g.do("GET", "/s/api/")
	a.wantFault(t, fault.CircuitOpen)
	if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("got Retry-After %q", a.Header.Get("Retry-After"))
	}
	if p := a.problem(t); !strings.Contains(p.Message, "refused the connection") ||
		!strings.HasPrefix(p.Message, `The API behind "api" failed`) {
		t.Errorf("says %q", p.Message)
	}
	if !strings.Contains(g.logs.String(), "not called for a moment") {
		t.Error("it is not in the log")
	}
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	serveUpstream(t, l, "http://", nil)
	deadline := time.Now().Add(20 * time.Second)
	for a = g.do("GET", "/s/api/"); a.StatusCode != http.StatusOK &&
		time.Now().Before(deadline); a = g.do("GET", "/s/api/") {
		time.Sleep(10 * time.Millisecond) // polling
	}
	a.wantStatus(t, 200)
	for range 20 {
		g.do("GET", "/s/api/").wantStatus(t, 200)
	}
	for _, r := range g.records() {
		if r.Code == string(fault.CircuitOpen) && (r.Event != "refused" || r.Blame != string(fault.BlameUpstream)) {
			t.Errorf("record %+v: no credential was used", r)
		}
	}
}

// TestCircuitCountsConnectionsAlone: statuses, and what breaks on an open connection, are the API's answers.
func TestCircuitCountsConnectionsAlone(t *testing.T) {
	u := newUpstream(t, func(c net.Conn, r *received) {
		if strings.Contains(r.head, "/reset") {
			_ = c.Close()
			return
		}
		_, _ = c.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))
	})
	g := newGate(t, api(u.url, "circuit: {failures: 2}"), options{})
	for range 5 {
		g.do("GET", "/s/api/").wantStatus(t, 503)
		g.do("POST", "/s/api/reset", "Content-Length: 1", "\r\nx").wantFault(t, fault.UpstreamReset)
	}
}
