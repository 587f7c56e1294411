package wire_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/wire"
)

// script is a connection that delivers bytes in pieces and then ends.
type script struct {
	net.Conn
	data  []byte
	sizes []byte // of the pieces, used in turn; 0 is read as 256
	n     int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	size := len(s.data)
	if len(s.sizes) > 0 {
		size = int(s.sizes[s.n%len(s.sizes)])
		s.n++
		if size == 0 {
			size = 256
		}
	}
	n := copy(p, s.data[:min(size, len(s.data))])
	s.data = s.data[n:]
	return n, nil
}

const standIn = "GET /-/refused HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n"

// through sends data through a Conn and returns what comes out.
func through(t testing.TB, data, sizes []byte, maxHead int) (out []byte, violation string) {
	t.Helper()
	c := wire.NewConn(&script{data: data, sizes: sizes}, maxHead)
	out, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
	return out, c.Violation()
}

func TestAccepted(t *testing.T) {
	for name, in := range map[string]string{
		"plain":         "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n",
		"1.0":           "GET / HTTP/1.0\r\n\r\n",
		"body":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"chunked":       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n00A\r\n0123456789\r\n0\r\n\r\n",
		"two":           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
		"after chunked": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
		"obs-text":      "GET / HTTP/1.1\r\nHost: [::1]:80\r\nX: caf\xe9\t!\r\nEmpty:\r\n\r\n",
		"escapes":       "GET /%2F%zz?q=100%&%= HTTP/1.1\r\nHost: x\r\n\r\n",
		"expect":        "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			in = strings.ReplaceAll(in, "%zz", "%2e")
			for _, sizes := range [][]byte{nil, {1}, {2, 3}, {7}} {
				if out, why := through(t, []byte(in), sizes, 0); string(out) != in || why != "" {
					t.Errorf("pieces %v: got %q (%s), want it as it was", sizes, out, why)
				}
			}
		})
	}
}

func TestRefusedHeads(t *testing.T) {
	head := func(lines ...string) string {
		return "POST / HTTP/1.1\r\nHost: x\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
	}
	long := strings.Repeat("a", 1000)
	for name, in := range map[string]string{
		"0.9":               "GET /\r\n\r\n",
		"0.9, no end":       "GET /\r\n",
		"2.0 preface":       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"2.0":               "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
		"1.2":               "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
		"http in lower":     "GET / http/1.1\r\nHost: x\r\n\r\n",
		"TLS":               "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"empty line first":  "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"absolute":          "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"authority":         "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
		"asterisk":          "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"two blanks":        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
		"blank in target":   "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
		"tab":               "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"fragment":          "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n",
		"backslash":         "GET /\\a HTTP/1.1\r\nHost: x\r\n\r\n",
		"raw utf-8":         "GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
		"broken escape":     "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"cut escape":        "GET /%2 HTTP/1.1\r\nHost: x\r\n\r\n",
		"NUL in target":     "GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
		"no host":           "GET / HTTP/1.1\r\nX: y\r\n\r\n",
		"two hosts":         head("Host: x"),
		"two hosts, other":  head("hOST: evil"),
		"empty host":        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
		"host with slash":   "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"host with user":    "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
		"host list":         "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
		"CL and TE":         head("Content-Length: 3", "Transfer-Encoding: chunked"),
		"TE and CL":         head("Transfer-Encoding: chunked", "Content-Length: 3"),
		"two CL":            head("Content-Length: 3", "Content-Length: 3"),
		"two CL, different": head("Content-Length: 3", "Content-Length: 4"),
		"CL list":           head("Content-Length: 3, 3"),
		"CL signed":         head("Content-Length: +3"),
		"CL negative":       head("Content-Length: -3"),
		"CL hex":            head("Content-Length: 0x3"),
		"CL underscore":     head("Content-Length: 1_0"),
		"CL empty":          head("Content-Length:"),
		"CL huge":           head("Content-Length: 99999999999999999999"),
		"TE twice":          head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
		"TE gzip":           head("Transfer-Encoding: gzip, chunked"),
		"TE xchunked":       head("Transfer-Encoding: xchunked"),
		"TE identity":       head("Transfer-Encoding: identity"),
		"TE vertical tab":   head("Transfer-Encoding: \x0bchunked"),
		"TE quoted":         head(`Transfer-Encoding: "chunked"`),
		"TE in 1.0":         "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"obs-fold":          head("X: a", " b"),
		"obs-fold tab":      head("X: a", "\tb"),
		"fold first":        "GET / HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n",
		"bare CR":           head("X: a\rb"),
		"bare CR in line":   "GET / HTTP/1.1\rX\r\nHost: x\r\n\r\n",
		"bare LF":           "GET / HTTP/1.1\nHost: x\n\n",
		"bare LF later":     "GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
		"bare LF, no end":   "GET / HTTP/1.1\r\nHost: x\nX: y\n\n",
		"NUL":               head("X: a\x00b"),
		"DEL":               head("X: a\x7fb"),
		"blank before":      head("X : a"),
		"blank in name":     head("X Y: a"),
		"no colon":          head("X"),
		"empty name":        head(": a"),
		"name with bracket": head("X[]: a"),
		"raw in name":       head("X\xe9: a"),
		"trailers":          head("Transfer-Encoding: chunked", "Trailer: X"),
		"expect":            head("Expect: 200-ok"),
		"many":              head(strings.TrimSuffix(strings.Repeat("X: y\r\n", 300), "\r\n")),
		"large":             head("X: " + strings.Repeat(long, 70)),
		"large, no end":     "GET /" + strings.Repeat(long, 70),
		"many CR":           strings.Repeat("\r", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			for _, sizes := range [][]byte{nil, {1}, {5}} {
				out, why := through(t, []byte(in), sizes, 0)
				if string(out) != standIn || why == "" {
					t.Errorf("pieces %v: got %q (%q), want the stand-in", sizes, out, why)
				}
			}
			before := "POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
			if out, _ := through(t, []byte(before+in), nil, 0); string(out) != before+standIn {
				t.Errorf("behind a good request: got %q, want both", out)
			}
		})
	}
}

func TestRefusedBodies(t *testing.T) {
	head := "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct{ good, bad string }{
		"extension":       {"", "3;a=b\r\nabc\r\n0\r\n\r\n"},
		"blank":           {"", "3 \r\nabc\r\n0\r\n\r\n"},
		"no digits":       {"", "\r\nabc\r\n0\r\n\r\n"},
		"sign":            {"", "+3\r\nabc\r\n0\r\n\r\n"},
		"prefix":          {"", "0x3\r\nabc\r\n0\r\n\r\n"},
		"bare LF":         {"", "3\nabc\r\n0\r\n\r\n"},
		"overflow":        {"", "FFFFFFFFFFFFFFFF\r\nabc"},
		"wrap to 3":       {"", "10000000000000003\r\nabc\r\n0\r\n\r\n"},
		"long line":       {"", strings.Repeat("0", 50)},
		"too long":        {"3\r\nabc", "d\r\n0\r\n\r\n"},
		"end by bare LF":  {"3\r\nabc", "\n0\r\n\r\n"},
		"trailer":         {"0\r\n", "X: y\r\n\r\n"},
		"smuggled behind": {"0\r\n", "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sizes := range [][]byte{nil, {1}, {4}} {
				conn := wire.NewConn(&script{data: []byte(head + c.good + c.bad), sizes: sizes}, 0)
				out, err := io.ReadAll(conn)
				if err != nil || string(out) != head+c.good || conn.BodyViolation() == "" {
					t.Errorf("pieces %v: got %q, %v (%q), want %q and a violation", sizes, out, err,
						conn.BodyViolation(), head+c.good)
				}
				req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(out)))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(req.Body); err == nil {
					t.Error("the body passed for whole")
				}
			}
		})
	}
}

func TestHeadViolationIsNoBodyViolation(t *testing.T) {
	c := wire.NewConn(&script{data: []byte("GET /\r\n\r\n")}, 0)
	if _, err := io.ReadAll(c); err != nil || c.Violation() == "" || c.BodyViolation() != "" {
		t.Errorf("got %v, %q and %q", err, c.Violation(), c.BodyViolation())
	}
}

// pipe returns two ends of a real connection; the second is checked.
func pipe(t *testing.T) (caller net.Conn, c *wire.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	caller, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c = wire.NewConn(accepted, 4096)
	t.Cleanup(func() { _ = caller.Close(); _ = c.Close() })
	return caller, c
}

// TestDeadlineKeepsThePart: net/http reads in the background and breaks off; nothing may get lost by it.
func TestDeadlineKeepsThePart(t *testing.T) {
	caller, c := pipe(t)
	const in = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
	if _, err := io.WriteString(caller, in[:20]); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 100)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d bytes, %v; want none before the head is whole", n, err)
	}
	_ = c.SetReadDeadline(time.Time{})
	if _, err := io.WriteString(caller, in[20:]); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, len(in))
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != in {
		t.Errorf("got %q, %v", buf, err)
	}
}

// TestRaw: after a switch of protocols every byte passes, also those that were read before.
func TestRaw(t *testing.T) {
	caller, c := pipe(t)
	c.Raw()
	const in = "\x81\x05hello\n\x00\r\n\r\n"
	if _, err := io.WriteString(caller, in); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, len(in))
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != in {
		t.Errorf("got %q, %v", buf, err)
	}
}

// TestRefusalReachesASlowWriter: a caller that sends much more than is read still gets its answer whole.
func TestRefusalReachesASlowWriter(t *testing.T) {
	caller, c := pipe(t)
	done := make(chan error, 1)
	go func() {
		r := bufio.NewReader(c)
		_, err := http.ReadRequest(r)
		_, werr := io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno")
		done <- errors.Join(err, werr, c.Close())
	}()
	if _, err := io.WriteString(caller, "GET /"+strings.Repeat("a", 300_000)); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(caller)
	if err != nil || !strings.HasSuffix(string(all), "\r\n\r\nno") {
		t.Errorf("got %q, %v", all, err)
	}
	_ = caller.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// lingering notes in which order it is ended.
type lingering struct {
	script
	did []string
}

func (l *lingering) CloseWrite() error { l.did = append(l.did, "end of sending"); return nil }

func (l *lingering) SetReadDeadline(time.Time) error {
	if l.did[len(l.did)-1] != "deadlines" {
		l.did = append(l.did, "deadlines")
	}
	return nil
}

func (l *lingering) Close() error {
	l.did = append(l.did, fmt.Sprint("close with ", len(l.data), " bytes unread"))
	return nil
}

// TestRefusedCloseReadsOn: to close on unread bytes makes the caller's kernel throw the answer away.
func TestRefusedCloseReadsOn(t *testing.T) {
	for in, want := range map[string][]string{
		"GET /\r\n" + strings.Repeat("x", 50_000):                         {"end of sending", "deadlines", "close with 0 bytes unread"},
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 50_000): {"close with 49999 bytes unread"},
	} {
		l := &lingering{script: script{data: []byte(in), sizes: []byte{28}}}
		c := wire.NewConn(l, 0)
		if n, err := c.Read(make([]byte, 1000)); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		if err := c.Close(); err != nil || !slices.Equal(l.did, want) {
			t.Errorf("%.20q: got %q, %v; want %q", in, l.did, err, want)
		}
	}
}

// FuzzConn holds what comes out of a Conn to net/http's reader: every request has the same framing for both, or is the
// stand-in.
func FuzzConn(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /a%2fb HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: y\r\nTrailer: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: [::1]:8\r\nConnection: close\r\nUpgrade: h2c\r\n\r\n\r\n",
	} {
		f.Add([]byte(s), []byte{1, 5, 0})
	}
	f.Fuzz(func(t *testing.T, data, sizes []byte) {
		out, why := through(t, data, sizes, 4096)
		kept, stoodIn := bytes.CutSuffix(out, []byte(standIn))
		if !stoodIn || why == "" {
			kept = out
		}
		if !bytes.HasPrefix(data, kept) {
			t.Fatalf("%q is not how %q begins", kept, data)
		}
		if why == "" && len(kept) < len(data) && bytes.Contains(data[len(kept):], []byte("\r\n\r\n")) {
			t.Fatalf("a whole head was swallowed: %q of %q", kept, data)
		}
		sameFraming(t, out, why != "")
	})
}

// sameFraming reads requests with net/http and by Content-Length and chunk sizes alone.
func sameFraming(t *testing.T, out []byte, refused bool) {
	r := bufio.NewReader(bytes.NewReader(out))
	rest := out
	for len(rest) > 0 {
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Fatalf("net/http refuses what the Conn let through: %v: %q", err, rest)
		}
		if len(req.Header["Content-Length"]) > 1 || len(req.TransferEncoding) > 0 && req.ContentLength >= 0 ||
			len(req.Trailer) > 0 {
			t.Fatalf("ambiguous: %q", rest)
		}
		head, after, _ := bytes.Cut(rest, []byte("\r\n\r\n"))
		line, fields, _ := bytes.Cut(head, []byte("\r\n"))
		if string(line) != req.Method+" "+req.RequestURI+" "+req.Proto {
			t.Fatalf("got %s %s %s of %q", req.Method, req.RequestURI, req.Proto, line)
		}
		count := 0
		for _, values := range req.Header {
			count += len(values)
		}
		// net/http takes them out of the header
		for _, special := range []string{req.Host, strings.Join(req.TransferEncoding, "")} {
			if special != "" {
				count++
			}
		}
		if want := bytes.Count(fields, []byte("\r\n")) + min(1, len(fields)); count != want {
			t.Fatalf("net/http sees %d fields, the wire has %d: %q", count, want, head)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil { // the connection ended, or was refused, in the middle
			return
		}
		rest = bodyEnd(t, after, req, body)
	}
	if r.Buffered() > 0 && !refused {
		t.Fatalf("net/http left %d bytes", r.Buffered())
	}
}

// bodyEnd returns what follows the body.
func bodyEnd(t *testing.T, after []byte, req *http.Request, body []byte) []byte {
	if req.ContentLength >= 0 {
		if int64(len(body)) != req.ContentLength || !bytes.HasPrefix(after, body) {
			t.Fatalf("body %q with Content-Length %d of %q", body, req.ContentLength, after)
		}
		return after[len(body):]
	}
	for {
		line, rest, ok := bytes.Cut(after, []byte("\r\n"))
		size := 0
		for _, c := range line {
			size = size*16 + strings.IndexByte("0123456789abcdef", bytes.ToLower([]byte{c})[0])
		}
		if !ok || size > len(rest)-2 || !bytes.HasPrefix(body, rest[:size]) {
			t.Fatalf("chunk %q of %q with body %q", line, after, body)
		}
		body, after = body[size:], rest[size+2:]
		if size == 0 {
			return after
		}
	}
}
