// Package turnstile stands before an HTTP handler of the end-to-end tests and stops the request that a test wants to be
// stopped: before the handler has seen it, or when its work is done and the answer is still on the way. So a test can
// kill a process at a known point of what it does. It changes no request and knows nobody on either side.
package turnstile

import (
	"bytes"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"sync"
)

// When is the moment at which a request is stopped.
type When bool

// The moments.
const (
	Before When = false // the handler has not seen it
	After  When = true  // its work is done, and nobody has been told
)

// Turnstile lets requests through until one is to be stopped. The zero value lets all of them through.
type Turnstile struct {
	mu    sync.Mutex
	stops []*Stop
}

// Stop is one request that is waited for, and stopped when it comes.
type Stop struct {
	Reached <-chan struct{} // closed when the request is here

	method, path string
	when         When
	reached      chan struct{}
	release      chan struct{}
	once         sync.Once
}

// NewStop is for a handler that knows by itself which request is to be stopped: it calls Wait.
func NewStop() *Stop {
	s := &Stop{reached: make(chan struct{}), release: make(chan struct{})}
	s.Reached = s.reached
	return s
}

// Release lets the request go on. It may be called more than once, and before the request has come.
func (s *Stop) Release() { s.once.Do(func() { close(s.release) }) }

// Stop stops the next request of a method whose path is so, in the manner of path.Match.
func (t *Turnstile) Stop(method, path string, when When) *Stop {
	s := NewStop()
	s.method, s.path, s.when = method, path, when
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stops = append(t.stops, s)
	return s
}

func (t *Turnstile) take(r *http.Request) *Stop {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, s := range t.stops {
		if is, err := path.Match(s.path, r.URL.Path); err == nil && is && s.method == r.Method {
			t.stops = append(t.stops[:i:i], t.stops[i+1:]...)
			return s
		}
	}
	return nil
}

// Wrap is next behind the turnstile.
func (t *Turnstile) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := t.take(r)
		switch {
		case s == nil:
			next.ServeHTTP(w, r)
		case s.when == Before:
			if s.Wait(r) {
				next.ServeHTTP(w, r)
			}
		default:
			done := &kept{header: http.Header{}, status: http.StatusOK}
			next.ServeHTTP(done, r)
			if s.Wait(r) {
				done.send(w)
			}
		}
	})
}

// Wait is called once, with the request that is stopped, and is false when who asks has gone.
func (s *Stop) Wait(r *http.Request) bool {
	close(s.reached)
	select {
	case <-s.release:
		return true
	case <-r.Context().Done():
		return false
	}
}

// Proxy is a server with address behind the turnstile, on a free loopback port.
func (t *Turnstile) Proxy(address string) (*httptest.Server, error) {
	to, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("putting a turnstile before %q: %w", address, err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorLog = log.New(&bytes.Buffer{}, "", 0) // a killed process breaks its calls off
	return httptest.NewServer(t.Wrap(proxy)), nil
}

// kept is an answer that is not sent yet.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }

func (k *kept) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), k.header)
	w.WriteHeader(k.status)
	w.Write(k.body.Bytes())
}
