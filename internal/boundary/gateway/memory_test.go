package gateway_test

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/ca"
)

// openHeads are connections that never get to the end of a request head.
//
//nolint:gochecknoglobals // a constant table
var openHeads = map[string]string{
	"silent":     "",
	"half":       "GET /s/api/x HTTP/1.1\r\nHost: ga",
	"long":       "GET /s/api/x HTTP/1.1\r\nHost: gate\r\nX-Long: " + strings.Repeat("x", 15<<10),
	"after one":  keepAlive("GET", "/s/none/x"),
	"then half":  keepAlive("GET", "/s/none/x") + "GET /s/api/x HTTP/1.1\r\nHost: ga",
	"large, one": keepAlive("GET", "/s/none/x", "X-Long: "+strings.Repeat("x", 15<<10)),
}

// serverTLS is TLS by a CA of Sallyport's own.
func serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	dir := t.TempDir()
	if err := ca.Create(dir); err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return authority.ServerConfig([]string{"127.0.0.1"})
}

// openHead opens a connection to addr, over TLS or not, sends text, and keeps nothing of its own but the socket.
func openHead(t testing.TB, addr string, overTLS bool, text string) net.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := raw
	if overTLS {
		secure := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		if err := secure.Handshake(); err != nil {
			t.Fatal(err)
		}
		c = secure
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return raw
}

// inUse is what lies in the heap and in stacks, in bytes, when it does not move any more.
func inUse(t testing.TB) uint64 {
	t.Helper()
	var last uint64
	for same := 0; same < 5; {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := m.HeapAlloc + m.StackInuse
		if same++; now > last+last/100 || now < last-last/100 {
			same = 0
		}
		last = now
		time.Sleep(20 * time.Millisecond)
	}
	return last
}

// BenchmarkOpenHeads prints the memory of one of 1,000 connections that wait in a request head or for one, in bytes.
func BenchmarkOpenHeads(b *testing.B) {
	const conns = 1000
	for name, text := range openHeads {
		for _, overTLS := range []bool{false, true} {
			b.Run(map[bool]string{false: "plain", true: "TLS"}[overTLS]+"/"+name, func(b *testing.B) {
				o := options{}
				if overTLS {
					o.tls = serverTLS(b)
				}
				g := newGate(b, api("http://127.0.0.1:9"), o)
				_ = openHead(b, g.addr, overTLS, text).Close()
				for b.Loop() {
					before := inUse(b)
					var open []net.Conn
					for range conns {
						open = append(open, openHead(b, g.addr, overTLS, text))
					}
					b.ReportMetric(float64(inUse(b)-before)/conns, "B/conn")
					for _, c := range open {
						_ = c.Close()
					}
				}
			})
		}
	}
}
