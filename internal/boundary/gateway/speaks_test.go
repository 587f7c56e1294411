package gateway_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
)

// hello is the first flight of a TLS client, as it stands on the wire.
func hello(t *testing.T, protos ...string) string {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	go func() { _ = tls.Client(ours, &tls.Config{ServerName: "gate", NextProtos: protos}).Handshake() }()
	b := make([]byte, 4096)
	n, err := theirs.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// oldHello is a ClientHello in the form of SSL 2.0 (RFC 5246 appendix E.2).
const oldHello = "\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80"

// TestOtherLanguage: who speaks TLS to a plain listener, or plain HTTP to one with TLS, is told so, and is on record.
func TestOtherLanguage(t *testing.T) {
	get := "GET /s/api/x HTTP/1.1\r\nHost: gate\r\nX-Sallyport-Token: " + tokens.value["good"] + "\r\n\r\n"
	for name, c := range map[string]struct {
		tls  bool
		sent string
		says string
	}{
		"TLS to plain":               {false, hello(t), "TLS handshake"},
		"TLS to plain, ALPN h2":      {false, hello(t, "h2", "http/1.1"), "TLS handshake"},
		"half a hello to plain":      {false, hello(t)[:40], "TLS handshake"},
		"one byte of it":             {false, "\x16", "TLS handshake"},
		"SSL 2.0 hello to plain":     {false, oldHello, "TLS handshake"},
		"three bytes of it":          {false, oldHello[:3], "TLS handshake"},
		"binary to plain":            {false, "\x80\x00\x00\x00", "malformed"},
		"a zero to plain":            {false, "\x00", "malformed"},
		"HTTP to TLS":                {true, get, "plain HTTP"},
		"a POST to TLS":              {true, "POST /s/api/x HTTP/1.1\r\nHost: gate\r\nContent-Length: 400000\r\n\r\n" + strings.Repeat("x", 400000), "plain HTTP"},
		"half a request line to TLS": {true, get[:9], "plain HTTP"},
		"HTTP/2 to TLS":              {true, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "plain HTTP"},
		"binary to TLS":              {true, "\x00\x01\x02\x03\x04\x05", "neither TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options{}
			if c.tls {
				o.tls = serverTLS(t)
			}
			u := newUpstream(t, nil)
			g := newGate(t, api(u.url), o)
			k := keep(t, g)
			go func() { _, _ = io.WriteString(k.Conn, c.sent) }()
			a, err := http.ReadResponse(k.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(a.Body)
			if err != nil {
				t.Fatal(err)
			}
			if a.StatusCode != http.StatusBadRequest || !a.Close || !strings.Contains(string(body), c.says) {
				t.Errorf("got %d (close %v) %s, want 400 with %q", a.StatusCode, a.Close, body, c.says)
			}
			if strings.Contains(string(body), tokens.value["good"]) {
				t.Error("the token comes back")
			}
			k.wantClosed(t)
			if got := g.finished(); got.Code != fault.RequestMalformed {
				t.Errorf("counted as %q", got.Code)
			}
			u.untouched(t)
			if list := g.records(); len(list) != 1 || list[0].Code != string(fault.RequestMalformed) ||
				!strings.Contains(list[0].Detail, c.says) {
				t.Errorf("on record: %+v", list)
			}
		})
	}
}

// complained waits until that many complaints of a kind were counted.
func (g *gate) complained(t *testing.T, kind string, n int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); strings.Count(g.errors.String(),
		kind+" ") < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q counted, want %d times %s", g.errors.String(), n, kind)
		}
	}
}

// TestHandshakesThatFail are counted, and the listener goes on.
func TestHandshakesThatFail(t *testing.T) {
	u := hear(t, func(c net.Conn) { answerAll(c) })
	g := newGate(t, api(u), options{tls: serverTLS(t)})
	g.complain = true
	for name, attempt := range map[string]func(t *testing.T, c net.Conn){
		"a CA that is not trusted": func(_ *testing.T, c net.Conn) {
			_ = tls.Client(c, &tls.Config{ServerName: "127.0.0.1"}).Handshake()
		},
		"an old version": func(_ *testing.T, c net.Conn) {
			_ = tls.Client(c, &tls.Config{
				InsecureSkipVerify: true, MinVersion: tls.VersionTLS10,
				MaxVersion: tls.VersionTLS11,
			}).Handshake()
		},
		"HTTP/2 alone": func(_ *testing.T, c net.Conn) {
			_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}).Handshake()
		},
		"SSL 2.0": func(t *testing.T, c net.Conn) {
			_, _ = io.WriteString(c, oldHello)
			_, _ = io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := strings.Count(g.errors.String(), "tls ")
			c, err := net.Dial("tcp", g.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			attempt(t, c)
			g.complained(t, "tls", before+1)
		})
	}
	secure, err := tls.Dial("tcp", g.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer secure.Close()
	_, _ = io.WriteString(secure, keepAlive("GET", "/s/api/x"))
	if a := readAnswer(t, bufio.NewReader(secure)); a.StatusCode != http.StatusOK {
		t.Errorf("afterwards: got %d, want 200", a.StatusCode)
	}
	if text := g.logs.String(); !strings.Contains(text, "TLS handshake error") {
		t.Errorf("not logged: %s", text)
	}
}
