package standin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Request is what the API saw of one call.
type Request struct {
	Method string
	Target string // path and query as they arrived
	Header http.Header
}

// Server is the running stand-in. Down and Up take it off the air and bring it back on the same port.
type Server struct {
	key  string
	addr string
	cert tls.Certificate
	ca   []byte

	mu     sync.Mutex
	server *http.Server
	done   chan struct{}
	seen   []Request
	holds  map[string]*hold
}

// hold stops one call until it is let go.
type hold struct {
	left    int
	reached chan struct{}
	release chan struct{}
}

// Start listens on a free loopback port and answers to key alone.
func Start(key string) (*Server, error) {
	ca, cert, err := issue()
	if err != nil {
		return nil, fmt.Errorf("issuing the stand-in's certificate: %w", err)
	}
	s := &Server{key: key, addr: "127.0.0.1:0", cert: cert, ca: ca}
	return s, s.Up()
}

// Up listens, on the port of the first time.
func (s *Server) Up() error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listening for the stand-in: %w", err)
	}
	server := &http.Server{
		Handler:           s.handler(),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{s.cert}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	done := make(chan struct{})
	s.mu.Lock()
	s.addr, s.server, s.done = listener.Addr().String(), server, done
	s.mu.Unlock()
	go func() {
		defer close(done)
		server.ServeTLS(listener, "", "")
	}()
	return nil
}

// Down closes the listener and every connection; the port refuses until Up.
func (s *Server) Down() {
	s.mu.Lock()
	server, done := s.server, s.done
	s.mu.Unlock()
	server.Close()
	<-done
}

// URL is the base address, https and 127.0.0.1.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "https://" + s.addr
}

// CA is the certificate, in PEM, of the authority that the stand-in's own certificate hangs on.
func (s *Server) CA() []byte { return s.ca }

// Seen returns what arrived so far, oldest first, refused calls included.
func (s *Server) Seen() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Hold stops the nth call of path from now on in the middle: reached is closed when it has arrived, and it is answered
// after release is closed. So a test can do something while a workflow runs, at a known point of it.
func (s *Server) Hold(path string, nth int) (reached <-chan struct{}, release chan<- struct{}) {
	h := &hold{left: nth, reached: make(chan struct{}), release: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds == nil {
		s.holds = map[string]*hold{}
	}
	s.holds[path] = h
	return h.reached, h.release
}

func (s *Server) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := s.note(r); h != nil {
			close(h.reached)
			select {
			case <-h.release:
			case <-r.Context().Done():
			}
		}
		next.ServeHTTP(w, r)
	})
}

// note keeps the request, and returns the hold that it is the one for.
func (s *Server) note(r *http.Request) *hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, Request{Method: r.Method, Target: r.RequestURI, Header: r.Header.Clone()})
	h := s.holds[r.URL.Path]
	if h == nil {
		return nil
	}
	h.left--
	if h.left > 0 {
		return nil
	}
	delete(s.holds, r.URL.Path)
	return h
}

// File is size bytes that are the same every time and do not compress.
func File(size int64) io.Reader {
	return io.LimitReader(&stream{}, size)
}

// FileSum is the SHA-256, in hex, of File(size).
func FileSum(size int64) string {
	sum := sha256.New()
	io.Copy(sum, File(size))
	return hex.EncodeToString(sum.Sum(nil))
}

// stream is an endless chain of SHA-256 blocks.
type stream struct {
	block [sha256.Size]byte
	rest  []byte
}

func (s *stream) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(s.rest) == 0 {
			s.block = sha256.Sum256(s.block[:])
			s.rest = s.block[:]
		}
		copied := copy(p[n:], s.rest)
		s.rest = s.rest[copied:]
		n += copied
	}
	return n, nil
}

// issue makes a CA and, under it, a certificate for 127.0.0.1, ::1 and localhost, both valid for a day.
func issue() (caPEM []byte, leaf tls.Certificate, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, leaf, err
	}
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stand-in API CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, caKey.Public(), caKey)
	if err != nil {
		return nil, leaf, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, leaf, err
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "stand-in API"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, server, authority, key.Public(), caKey)
	if err != nil {
		return nil, leaf, err
	}
	leaf = tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), leaf, nil
}
