package wire_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"strings"
	"testing"

	"sallyport/internal/boundary/wire"
)

// bursting panics where its script ends.
type bursting struct{ script }

func (b *bursting) Read(p []byte) (int, error) {
	if len(b.data) == 0 {
		panic("a bug")
	}
	return b.script.Read(p)
}

// TestPanicInRead: net/http reads in goroutines that recover nothing. In a head a panic becomes the stand-in, which is
// answered and recorded; in a body an error.
func TestPanicInRead(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  standIn,
		"GET /":                             standIn,
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n": "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + standIn,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na":         "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		c := wire.NewConn(&bursting{script{Conn: silent{}, data: []byte(in)}}, 0)
		out, err := io.ReadAll(c)
		if string(out) != want || c.Broken() == nil || (err == nil) != (len(want) > len(in)) {
			t.Errorf("%q: got %q, %v, broken by %v; want %q", in, out, err, c.Broken(), want)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%q: afterwards: got %d, %v", in, n, err)
		}
	}
}

type silent struct{ net.Conn }

// lines are what a logger writes, one message each.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestPanicInHandshake: a panic before the first head ends its connection, and is told of as a panic: it is no
// complaint about the caller.
func TestPanicInHandshake(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := make(lines, 10)
	l := wire.Listen(inner, wire.Options{
		TLS: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			panic("hunter2")
		}},
		ErrorLog: log.New(told, "", 0),
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = l.Accept() // ends with Close
	}()
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(t.Context()); err == nil {
		t.Error("the handshake succeeded")
	}
	if got := <-told; !strings.HasPrefix(got, "http: panic serving ") || strings.Contains(got, "hunter2") {
		t.Errorf("got %q", got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-done
}
