package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// standin is the demo's API: it answers to one key only, and echoes it, as careless APIs do.
type standin struct {
	url    string
	key    string
	server *http.Server
	done   chan struct{}

	mu      sync.Mutex
	auth    string
	headers string
}

func newStandin(ctx context.Context, key string) (*standin, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the stand-in API: %w", err)
	}
	s := &standin{url: "http://" + l.Addr().String(), key: key, done: make(chan struct{})}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	guard.Go("serving the stand-in API", func() {
		defer close(s.done)
		_ = s.server.Serve(l) // ends with close
	}, func(*fault.Panic) {}) // its callers see that it is gone
	return s, nil
}

func (s *standin) close() {
	_ = s.server.Close()
	<-s.done
}

// ServeHTTP implements http.Handler.
func (s *standin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	auth := r.Header.Get("Authorization")
	s.mu.Lock()
	s.auth, s.headers = auth, fmt.Sprint(r.Header, r.URL)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if auth != "Bearer "+s.key {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "this key is not mine"})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{
		"city":     r.URL.Query().Get("city"),
		"forecast": "sunny", "your_key": s.key,
	})
}

// received is the Authorization header of the last request.
func (s *standin) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.auth
}

// everything is all of the last request's header and URL.
func (s *standin) everything() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.headers
}

func randomText() string { return rand.Text() }
