package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	streamSize  = 64 << 20
	streamLimit = 32 << 20 // of heap more than before
)

// zeros is a body of n bytes that nobody holds.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.n)
	for i := range p[:n] {
		p[i] = 'z'
	}
	z.n -= n
	return int(n), nil
}

// watched counts, and looks at the heap every 8 MiB.
type watched struct {
	n, peak int64
	next    int64
}

func (w *watched) Write(p []byte) (int, error) {
	if w.n += int64(len(p)); w.n >= w.next {
		w.next += 8 << 20
		w.peak = max(w.peak, heap())
	}
	return len(p), nil
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestLargeBodiesStream sends 64 MiB each way and holds the heap to a part of it.
func TestLargeBodiesStream(t *testing.T) {
	for _, framing := range []string{"length", "chunked"} {
		t.Run(framing, func(t *testing.T) {
			var uploaded atomic.Int64
			before := heap()
			up := &watched{}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(up, r.Body)
				uploaded.Store(n)
				if framing == "length" {
					w.Header().Set("Content-Length", fmt.Sprint(streamSize))
				}
				_, _ = io.Copy(w, &zeros{n: streamSize})
			}))
			defer s.Close()
			g := newGate(t, api(s.URL), options{})
			c, err := net.Dial("tcp", g.addr) // not g.dial, which keeps what it reads
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			go sendZeros(c, framing)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			down := &watched{}
			n, err := io.Copy(down, resp.Body)
			if n != streamSize || uploaded.Load() != streamSize || err != nil {
				t.Errorf("got %d bytes, the API got %d, want %d; %v", n, uploaded.Load(), streamSize, err)
			}
			if grown := max(up.peak, down.peak) - before; grown > streamLimit {
				t.Errorf("the heap grew by %d bytes while %d went through", grown, streamSize)
			}
			if o := g.finished(); o.BytesIn != streamSize || o.BytesOut != streamSize {
				t.Errorf("got outcome %+v", o)
			}
		})
	}
}

func sendZeros(c net.Conn, framing string) {
	if framing == "length" {
		_, _ = io.WriteString(c, request("POST", "/s/api/x", fmt.Sprint("Content-Length: ", streamSize)))
		_, _ = io.Copy(c, &zeros{n: streamSize})
		return
	}
	_, _ = io.WriteString(c, request("POST", "/s/api/x", "Transfer-Encoding: chunked"))
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("z", 64<<10))
	for range streamSize >> 16 {
		_, _ = io.WriteString(c, chunk)
	}
	_, _ = io.WriteString(c, "0\r\n\r\n")
}

// TestKeepAlive: many requests on one connection, bodies and all, and each answer belongs to its request.
func TestKeepAlive(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
	}))
	defer s.Close()
	g := newGate(t, api(s.URL), options{})
	c := g.dial()
	r := bufio.NewReader(c)
	for i := range 20 {
		body, framing := fmt.Sprint("body ", i), fmt.Sprint("Content-Length: ", len(fmt.Sprint("body ", i)))
		sent := body
		if i%2 == 1 {
			framing, sent = "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		}
		_, _ = io.WriteString(c, strings.Replace(request("POST", fmt.Sprint("/s/api/", i), framing, "\r\n"+sent),
			"Connection: close\r\n", "", 1))
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if want := fmt.Sprintf("POST /%d %s", i, body); string(got) != want || err != nil {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
}
