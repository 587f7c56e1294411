package wire_test

import (
	"io"
	"net"
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

// TestPanicInRead: net/http reads in goroutines that recover nothing. In a head a panic becomes the stand-in, which is answered and
// recorded; in a body an error.
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
