// Package upstream is the stand-in API of the benchmarks. It answers only to the real key, so that a proxy which
// forgets the one thing it is there for fails the run and gets no figures.
//
//	GET  any path       200 with a JSON document of DocumentBytes
//	GET  /download/N    200 with a body of N bytes
//	POST any path       reads the body and answers with the document
//
// It writes ready-made answers straight to the connection: a full server would cost as much as the proxies it stands
// behind.
package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"sallyport/bench/wire"
)

// Key is the credential that every request must carry, as "Authorization: Bearer <Key>". It opens nothing.
const Key = "bench-7f3c1d9a5e8b4c2f6a0d"

// DocumentBytes is the length of the ordinary answer's body.
const DocumentBytes = 1024

// Server answers on two addresses until it is closed.
type Server struct {
	Plain string // host:port over plain HTTP
	TLS   string // host:port over TLS, HTTP/1.1 only

	document  []byte
	listeners []net.Listener
	conns     sync.Map // net.Conn → struct{}: open ones
	serving   sync.WaitGroup
}

// Start listens on two free loopback ports and serves. The caller closes the server.
func Start(ctx context.Context, certificate tls.Certificate) (*Server, error) {
	s := &Server{document: document()}
	var listen net.ListenConfig
	plain, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the stand-in API: %w", err)
	}
	under, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening for the stand-in API over TLS: %w", err), plain.Close())
	}
	secure := tls.NewListener(under, &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	})
	s.Plain, s.TLS = plain.Addr().String(), secure.Addr().String()
	s.listeners = []net.Listener{plain, secure}
	for _, l := range s.listeners {
		s.serving.Go(func() { s.accept(l) })
	}
	return s, nil
}

// Close ends all connections and waits for what serves them.
func (s *Server) Close() error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	s.conns.Range(func(conn, _ any) bool {
		if c, ok := conn.(net.Conn); ok {
			_ = c.Close() // what is cut off has no more to say
		}
		return true
	})
	s.serving.Wait()
	return errors.Join(errs...)
}

func (s *Server) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.conns.Store(conn, struct{}{})
		s.serving.Go(func() {
			defer s.conns.Delete(conn)
			// A client that goes away in the middle is the client's business: it fails the run there.
			_ = errors.Join(s.serve(conn), conn.Close())
		})
	}
}

func (s *Server) serve(conn net.Conn) error {
	requests := bufio.NewReaderSize(conn, 16<<10)
	authorization := []byte("Bearer " + Key)
	for {
		authorized := false
		head, err := wire.ReadHead(requests, func(line []byte) {
			name, value, _ := bytes.Cut(line, []byte(":"))
			if bytes.EqualFold(name, []byte("authorization")) {
				authorized = bytes.Equal(bytes.TrimSpace(value), authorization)
			}
		})
		if err != nil {
			return err
		}
		if _, err := wire.SkipBody(requests, head); err != nil {
			return err
		}
		if err := s.answer(conn, head, authorized); err != nil {
			return err
		}
	}
}

func (s *Server) answer(conn net.Conn, head wire.Head, authorized bool) error {
	answer := s.document
	if !authorized {
		answer = []byte("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
	} else if _, rest, ok := strings.Cut(head.First, "/download/"); ok {
		return download(conn, rest)
	}
	if _, err := conn.Write(answer); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}

// download answers with as many zero bytes as the rest of the request line says.
func download(conn net.Conn, rest string) error {
	number, _, _ := strings.Cut(rest, " ")
	size, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return fmt.Errorf("reading the size of a download: %w", err)
	}
	if _, err := fmt.Fprintf(conn,
		"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", size); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	if _, err := io.CopyBuffer(conn, io.LimitReader(zeros{}, size), make([]byte, 64<<10)); err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// document is the ordinary answer, head and body.
func document() []byte {
	body := `{"object":"list","data":[`
	for i := 0; len(body) < DocumentBytes-120; i++ {
		body += fmt.Sprintf(`{"id":"item_%04d","name":"An item of the list","amount":%d},`, i, 100+i)
	}
	body += `{"id":"item_last"}],"filler":"`
	body += strings.Repeat("x", DocumentBytes-len(body)-2) + `"}`
	return fmt.Appendf(nil,
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
