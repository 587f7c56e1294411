package storetest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/secret"
)

// most is how many bytes a store may take of an answer without end, its tries again included.
const most = 400 << 20

// Bounds tests what a store that speaks HTTP does with a server that means it ill: every call ends with
// secret.ErrUnavailable, within its time and within bounds of memory, and nothing is sent to where a redirect leads.
// start is httptest.NewTLSServer or httptest.NewServer; open returns one call of a store on the server, whose limit is
// the time-out to configure.
func Bounds(t *testing.T, start func(http.Handler) *httptest.Server,
	open func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error,
) {
	t.Helper()
	bounds(t, start, open, secret.ErrUnavailable)
}

// IdentityBounds is Bounds for the server that a store has its tokens from: a call may end with secret.ErrDenied as
// well, since there is no token.
func IdentityBounds(t *testing.T, start func(http.Handler) *httptest.Server,
	open func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error,
) {
	t.Helper()
	bounds(t, start, open, secret.ErrUnavailable, secret.ErrDenied)
}

// ClientBounds is Bounds for a client that is no store: any error ends a call.
func ClientBounds(t *testing.T, start func(http.Handler) *httptest.Server,
	open func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error,
) {
	t.Helper()
	bounds(t, start, open)
}

// bounds is Bounds with what a call may end with; any error where nothing is said.
func bounds(t *testing.T, start func(http.Handler) *httptest.Server,
	open func(t *testing.T, server *httptest.Server, limit time.Duration) func(context.Context) error, ends ...error,
) {
	t.Helper()
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s came to where a redirect leads, with the headers %v", r.URL.Path, r.Header)
	}
	plain, safe := httptest.NewServer(http.HandlerFunc(elsewhere)), httptest.NewTLSServer(http.HandlerFunc(elsewhere))
	defer plain.Close()
	defer safe.Close()
	var sent atomic.Int64
	for name, c := range map[string]struct {
		limit  time.Duration
		handle http.HandlerFunc
	}{
		"a response without end": {2 * time.Minute, func(w http.ResponseWriter, _ *http.Request) {
			endless(w, `{"a":"`, strings.Repeat("a", 64<<10), &sent)
		}},
		"a head without end": {2 * time.Minute, func(w http.ResponseWriter, _ *http.Request) {
			endlessHead(w, &sent)
		}},
		"one byte at a time": {300 * time.Millisecond, drip},
		"a redirect to plain HTTP": {20 * time.Second, func(w http.ResponseWriter, r *http.Request) {
			redirect(w, plain.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}},
		"a redirect to another host": {20 * time.Second, func(w http.ResponseWriter, r *http.Request) {
			redirect(w, safe.URL+r.URL.Path, http.StatusFound)
		}},
		"a redirect for good elsewhere": {20 * time.Second, func(w http.ResponseWriter, r *http.Request) {
			redirect(w, safe.URL+r.URL.Path, http.StatusPermanentRedirect)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			sent.Store(0)
			server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Api-Version", "1.41") // Docker's client asks an older engine for no secrets
				if r.Method != http.MethodHead {      // whose answer has no body: Docker's ping
					c.handle(w, r)
				}
			}))
			defer server.Close()
			call := open(t, server, c.limit)
			began := time.Now()
			if err := call(t.Context()); err == nil || len(ends) > 0 &&
				!slices.ContainsFunc(ends, func(end error) bool {
					return errors.Is(err, end)
				}) {
				t.Errorf("got %v, want %v", err, ends)
			}
			if took := time.Since(began); took > c.limit+10*time.Second {
				t.Errorf("it took %s with a time-out of %s", took, c.limit)
			}
			if n := sent.Load(); n > most {
				t.Errorf("%d MiB were taken of a response without end", n>>20)
			}
		})
	}
}

// endless writes begin and then more until nobody reads, or far past what any store may take.
func endless(w io.Writer, begin, more string, sent *atomic.Int64) {
	_, err := io.WriteString(w, begin)
	for err == nil && sent.Load() <= 2*most {
		_, err = io.WriteString(w, more)
		sent.Add(int64(len(more)))
	}
}

func endlessHead(w http.ResponseWriter, sent *atomic.Int64) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // a test's server
	endless(conn, "HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("a", 32<<10)+"\r\n", sent)
}

// drip sends a byte every now and then as long as someone waits.
func drip(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // or the server would not see that the client has left
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(w, " "); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// redirect answers with a redirect, as http.Redirect does.
func redirect(w http.ResponseWriter, to string, status int) {
	w.Header().Set("Location", to)
	w.WriteHeader(status)
}
