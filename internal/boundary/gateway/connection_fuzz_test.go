package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzConnection plays requests on one real connection, each byte one: to which answer (of Sallyport's own, early from
// the API, or whole), with which body, whether it is held back until the answer is there, whether the caller then goes
// on or stops sending, and whether the next request is sent before this one is answered (RFC 9112 section 9.3.2). The
// model counts: one answer and one record for each request up to the one whose answer ends the connection, in their
// order, and none for what stands in a body or behind that one.
func FuzzConnection(f *testing.F) {
	earlyURL, _ := early(f, "401 Unauthorized")
	u := hear(f, func(c net.Conn) { answerAll(c) })
	g := newGate(f, api(u)+strings.Replace(api(earlyURL), "  api:", "  early:", 1), options{})
	for _, seed := range []string{
		"\x00\x01\x02", "\x04\x08\x0c\x10", "\x15\x19\x02\x06\x0a", "\x22\x03", "\x3f\x2a\x11\x05", "\x06\x06\x12\x0d\x31",
		"\x42\x46\x4a\x02", "\x40\x44\x48\x02\x02", "\x42\x45\x42\x0a", "\x46\x43\x4a\x22", "\x42\x42\x18\x42\x26",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		answers := 0
		for r, ops := bufio.NewReader(c), ops[:min(len(ops), 8)]; len(ops) > 0; {
			n := 1
			for n < len(ops) && ops[n-1]&opPipelined != 0 {
				n++
			}
			got, goesOn := playTogether(t, c.(*net.TCPConn), r, ops[:n])
			answers += got
			if !goesOn {
				break
			}
			ops = ops[n:]
		}
		for i := range answers {
			select {
			case <-g.outcomes:
			case <-time.After(10 * time.Second):
				t.Fatalf("%x: %d of %d requests are on record", ops, i, answers)
			}
		}
		if n := len(g.outcomes); n > 0 {
			t.Fatalf("%x: %d more requests are on record than were answered", ops, n)
		}
	})
}

// The bits of a byte that FuzzConnection plays.
const (
	opTarget    = 3
	opBody      = 3 << 2
	opHeld      = 1 << 4
	opEnds      = 1 << 5
	opPipelined = 1 << 6
)

// playTogether sends the requests of ops in one write and reads their answers. It returns how many came, and whether
// the connection goes on.
func playTogether(t *testing.T, c *net.TCPConn, r *bufio.Reader, ops []byte) (answers int, goesOn bool) {
	t.Helper()
	last := ops[len(ops)-1]
	var now, later string
	for _, op := range ops {
		head, body := fuzzedRequest(op, len(ops) > 1)
		if op&opHeld != 0 && op&opTarget != 2 && len(ops) == 1 {
			body, later = body[:len(body)/3], body[len(body)/3:]
		}
		now += head + body
	}
	_, _ = io.WriteString(c, now)
	var resp *http.Response
	for range ops {
		resp = readAnswer(t, r)
		if answers++; resp.Close {
			break
		}
	}
	_, _ = io.WriteString(c, later)
	if last&opEnds != 0 {
		_ = c.CloseWrite()
	}
	if resp.Close || last&opEnds != 0 {
		if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Fatalf("%x: behind the last response: got %v, want EOF", ops, err)
		}
		return answers, false
	}
	if later != "" {
		t.Fatalf("%x: the response came before the body, and does not announce the end", ops)
	}
	return answers, true
}

// fuzzedRequest returns a request whose body, if there is one, is full of what must not be taken for requests.
func fuzzedRequest(op byte, small bool) (head, content string) {
	const poison = "GET /s/api/smuggled HTTP/1.1\r\nHost: gate\r\n\r\n"
	path := []string{"/s/none/x", "/s/early/x", "/s/api/x", "/s/api/../x"}[op&opTarget]
	lines := []string{"\r\n"}
	switch op & opBody {
	case 1 << 2:
		content = strings.Repeat(poison, 3)
		lines = append([]string{fmt.Sprint("Content-Length: ", len(content))}, lines...)
	case 2 << 2:
		content = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 3*len(poison), strings.Repeat(poison, 3))
		lines = append([]string{"Transfer-Encoding: chunked"}, lines...)
	case 3 << 2:
		content = strings.Repeat("x", 300000)
		if small { // what lies behind an answer that ends the connection is read within bounds
			content = content[:3000]
		}
		lines = append([]string{fmt.Sprint("Content-Length: ", len(content))}, lines...)
	}
	return keepAlive("POST", path, lines...), content
}

// answerAll reads each request to its end and answers it.
func answerAll(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		if _, err := readWhole(r); err != nil {
			return
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

func readWhole(r *bufio.Reader) (int64, error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return 0, err
	}
	return io.Copy(io.Discard, req.Body)
}
