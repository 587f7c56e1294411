package app_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/ca"
)

// TestAdminInAnotherLanguage: the admin listener tells who speaks TLS to it, or does not, and counts it.
func TestAdminInAnotherLanguage(t *testing.T) {
	for name, c := range map[string]struct{ tls, sent, says string }{
		"TLS to plain": {"", "\x16\x03\x01", "TLS handshake"},
		"HTTP to TLS":  {"tls: {ca: builtin, hosts: [gate.internal]}\n", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "plain HTTP"},
		"two readings": {"", "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "stands twice"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, func(url string) string { return c.tls + one("")(url) })
			if c.tls != "" {
				if err := ca.Create(b.load().Data); err != nil {
					t.Fatal(err)
				}
			}
			a := b.serve()
			answer, _ := io.ReadAll(dialAdmin(t, a.AdminURL(), c.sent))
			if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || !strings.Contains(string(answer), c.says) {
				t.Errorf("got %q, want 400 with %q", answer, c.says)
			}
			if !strings.Contains(b.log.String(), "kind=refused") {
				t.Errorf("not in the log: %s", b.log)
			}
		})
	}
}

// TestAdminConnections: however many connections someone opens to the admin listener, probes and scrapers get through,
// and the oldest of them go.
func TestAdminConnections(t *testing.T) {
	b := newBed(t, one(""))
	a := b.serve()
	var open []net.Conn
	for range 300 {
		open = append(open, dialAdmin(t, a.AdminURL(), "GET /healthz HT"))
	}
	b.get(a.AdminURL()+"/healthz").is(t, http.StatusOK, "alive")
	for _, c := range open[:40] {
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Fatal("one of the first connections got an answer")
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // as net returns it
			t.Fatal("one of the first connections is still open")
		}
	}
	b.get(a.AdminURL()+"/metrics").is(t, http.StatusOK, `sallyport_connections_closed_total{limit="admin_total"}`)
}

func dialAdmin(t *testing.T, url, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", hostPort.FindStringSubmatch(url)[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}
