package derive

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Loopback waits on this machine for the browser to come back from the consent page (RFC 8252 section 7.3).
type Loopback struct {
	RedirectURL string
	path        string
	listener    net.Listener
}

// ListenLoopback takes a free port of 127.0.0.1. Await or Close ends it.
func ListenLoopback(ctx context.Context) (*Loopback, error) {
	return listenLoopback(ctx, "127.0.0.1:0", "/callback")
}

// ListenRedirect takes the port of a redirect URL of this machine, for providers that know it to the letter:
// http://localhost:8473/callback, or with 127.0.0.1 or [::1]. Await or Close ends it.
func ListenRedirect(ctx context.Context, redirectURL string) (*Loopback, error) {
	if !OnLoopback(redirectURL) {
		return nil, errors.New("the redirect URL does not lead to this machine: http://localhost:PORT/PATH does")
	}
	u, err := url.Parse(redirectURL)
	if err != nil {
		return nil, errors.New("the redirect URL cannot be read")
	}
	host := u.Host
	if u.Hostname() == "localhost" {
		host = net.JoinHostPort("127.0.0.1", u.Port())
	}
	l, err := listenLoopback(ctx, host, u.EscapedPath())
	if err != nil {
		return nil, err
	}
	l.RedirectURL = redirectURL
	return l, nil
}

// OnLoopback tells whether a redirect URL is one that ListenRedirect can listen on.
func OnLoopback(redirectURL string) bool {
	u, err := url.Parse(redirectURL)
	if err != nil || u.Scheme != "http" || u.Port() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path == "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

func listenLoopback(ctx context.Context, address, path string) (*Loopback, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for the browser's return: %w", err)
	}
	return &Loopback{RedirectURL: "http://" + l.Addr().String() + path, path: path, listener: l}, nil
}

// Close ends a Loopback that nobody awaits.
func (l *Loopback) Close() error { return l.listener.Close() }

// returned is what came back.
type returned struct {
	code string
	err  error
}

// Await serves until the callback with the Connect's state has come, or the context ends, and returns the code. Any other
// request, such as one that another page makes the browser send, is turned away and changes nothing.
func (l *Loopback) Await(ctx context.Context, c *Connect) (code string, err error) {
	came := make(chan returned, 1)
	server := &http.Server{
		Handler:           callback(l.path, c.State(), came),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10,
		// It stands in a command that a person looks at, for one answer: there is no log to write to and nothing that counts, and
		// what other programs of this machine send here, which net/http would quote, belongs on no terminal.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l.listener) }() // ends with Shutdown, below
	var got returned
	select {
	case got = <-came:
	case <-ctx.Done():
		got.err = context.Cause(ctx)
	case err := <-ended:
		return "", fmt.Errorf("serving the browser's return: %w", err)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(closing); err != nil {
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) && got.err == nil {
		got.err = err
	}
	return got.code, got.err
}

func callback(path, want string, came chan<- returned) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer") // the address has the code in it
		code, state, err := ReadCallback(r.URL.Query())
		if r.Method != http.MethodGet || r.URL.EscapedPath() != path || subtle.ConstantTimeCompare([]byte(state), []byte(want)) != 1 {
			http.NotFound(w, r)
			return
		}
		text := "Sallyport has what it needs. You can close this page and go back to the terminal.\n"
		if err != nil {
			text = "The provider gave no consent. You can close this page and go back to the terminal.\n"
		}
		select {
		case came <- returned{code, err}:
			_, _ = w.Write([]byte(text))
		default:
			http.NotFound(w, r)
		}
	})
}
