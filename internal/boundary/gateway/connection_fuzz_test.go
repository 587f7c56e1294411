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

// FuzzConnection plays requests on one real connection, each byte one: to which answer (of Sallyport's own, early from the API, or
// whole), with which body, whether it is held back until the answer is there, and whether the caller then goes on or stops sending.
// The model counts: one answer and one record for each request, and none for what stands in a body.
func FuzzConnection(f *testing.F) {
	earlyURL, _ := early(f, "401 Unauthorized")
	u := hear(f, func(c net.Conn) { answerAll(c) })
	g := newGate(f, api(u)+strings.Replace(api(earlyURL), "  api:", "  early:", 1), options{})
	for _, seed := range []string{"\x00\x01\x02", "\x04\x08\x0c\x10", "\x15\x19\x02\x06\x0a", "\x22\x03", "\x3f\x2a\x11\x05", "\x06\x06\x12\x0d\x31"} {
		f.Add([]byte(seed))
	}
	const poison = "GET /s/api/smuggled HTTP/1.1\r\nHost: gate\r\n\r\n"
	targets := []string{"/s/none/x", "/s/early/x", "/s/api/x", "/s/api/../x"}
	f.Fuzz(func(t *testing.T, ops []byte) {
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		r := bufio.NewReader(c)
		sent := 0
		for _, op := range ops[:min(len(ops), 8)] {
			target, framing, body := targets[op&3], "", ""
			switch op >> 2 & 3 {
			case 1:
				framing, body = fmt.Sprint("Content-Length: ", 3*len(poison)), strings.Repeat(poison, 3)
			case 2:
				framing, body = "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 3*len(poison), strings.Repeat(poison, 3))
			case 3:
				framing, body = "Content-Length: 300000", strings.Repeat("x", 300000)
			}
			now, later := body, ""
			if hold := op>>4&1 == 1 && target != targets[2]; hold {
				now, later = body[:len(body)/3], body[len(body)/3:]
			}
			lines := []string{"\r\n" + now}
			if framing != "" {
				lines = append([]string{framing}, lines...)
			}
			_, _ = io.WriteString(c, keepAlive("POST", target, lines...))
			sent++
			resp := readAnswer(t, r)
			_, _ = io.WriteString(c, later)
			if op>>5&1 == 1 {
				_ = c.(*net.TCPConn).CloseWrite()
			}
			if resp.Close || op>>5&1 == 1 {
				if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
					t.Fatalf("%x: behind the last answer: got %v, want EOF", ops, err)
				}
				break
			}
			if later != "" {
				t.Fatalf("%x: the answer came before the body, and does not announce the end", ops)
			}
		}
		for i := range sent {
			select {
			case <-g.outcomes:
			case <-time.After(10 * time.Second):
				t.Fatalf("%x: %d of %d requests are on record", ops, i, sent)
			}
		}
		if n := len(g.outcomes); n > 0 {
			t.Fatalf("%x: %d requests more than were sent", ops, n)
		}
	})
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
