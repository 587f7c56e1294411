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
	"strings"
	"syscall"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// Loopback waits on this machine for the browser to come back from the consent page (RFC 8252 section 7.3).
type Loopback struct {
	RedirectURL string
	path        string
	listeners   []net.Listener
}

// ListenLoopback takes a free port of 127.0.0.1. Await or Close ends it.
func ListenLoopback(ctx context.Context) (*Loopback, error) {
	l, err := listenLoopback(ctx, "/callback", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.RedirectURL = "http://" + l.listeners[0].Addr().String() + l.path
	return l, nil
}

// ListenRedirect takes the port of a redirect URL of this machine, for providers that know it to the letter:
// http://localhost:8473/callback, or with 127.0.0.1 or [::1]. localhost is both: which one a browser tries first is its
// own affair, and nobody else must get the code at the other. Await or Close ends it.
func ListenRedirect(ctx context.Context, redirectURL string) (*Loopback, error) {
	if !OnLoopback(redirectURL) {
		return nil, errors.New("the redirect URL does not lead to this machine: http://localhost:PORT/PATH does")
	}
	u, err := url.Parse(redirectURL)
	if err != nil {
		return nil, errors.New("the redirect URL cannot be read")
	}
	hosts := []string{u.Host}
	if isLocalhost(u) {
		hosts = []string{net.JoinHostPort("127.0.0.1", u.Port()), net.JoinHostPort("::1", u.Port())}
	}
	l, err := listenLoopback(ctx, u.EscapedPath(), hosts...)
	if err != nil {
		return nil, err
	}
	l.RedirectURL = redirectURL
	return l, nil
}

// OnLoopback tells whether a redirect URL is one that ListenRedirect can listen on.
func OnLoopback(redirectURL string) bool {
	u, err := url.Parse(redirectURL)
	if err != nil || u.Scheme != "http" || u.Port() == "" || u.Port() == "0" || u.User != nil || u.RawQuery != "" ||
		u.Fragment != "" || u.Path == "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return isLocalhost(u) || err == nil && ip.IsLoopback()
}

func isLocalhost(u *url.URL) bool { return strings.EqualFold(u.Hostname(), "localhost") }

// listenLoopback listens on every address that this machine has, and on at least one. An address that someone else has
// taken is an error: the code could go there.
func listenLoopback(ctx context.Context, path string, addresses ...string) (*Loopback, error) {
	var lc net.ListenConfig
	var absent error
	l := &Loopback{path: path}
	for _, address := range addresses {
		one, err := lc.Listen(ctx, "tcp", address)
		switch {
		case err == nil:
			l.listeners = append(l.listeners, one)
		// such as ::1 where IPv6 is switched off
		case errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT):
			absent = err
		default:
			return nil, errors.Join(fmt.Errorf("listening for the browser's return: %w", err), l.Close())
		}
	}
	if len(l.listeners) == 0 {
		return nil, fmt.Errorf("listening for the browser's return: %w", absent)
	}
	return l, nil
}

// Close ends a Loopback that nobody awaits.
func (l *Loopback) Close() error {
	var errs []error
	for _, one := range l.listeners {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// returned is what came back.
type returned struct {
	code string
	err  error
}

// Await serves until the callback with the Connect's state has come, or the context ends, and returns the code. Any
// other request, such as one that another page makes the browser send, is turned away and changes nothing.
func (l *Loopback) Await(ctx context.Context, c *Connect) (code string, err error) {
	came := make(chan returned, 1)
	server := &http.Server{
		Handler:           callback(l.path, c, came),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		MaxHeaderBytes: 64 << 10,
		// It stands in a command that a person looks at, for one response: there is no log to write to and nothing that
		// counts, and what other programs of this machine send here, which net/http would quote, belongs on no
		// terminal.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	ended := make(chan error, len(l.listeners))
	for _, one := range l.listeners {
		guard.Go("serving the browser's return", func() { ended <- server.Serve(one) }, // ends with Shutdown, below
			func(why *fault.Panic) { ended <- why })
	}
	var got returned
	select {
	case got = <-came:
	case <-ctx.Done():
		got.err = context.Cause(ctx)
	case err := <-ended:
		return "", errors.Join(fmt.Errorf("serving the browser's return: %w", err), server.Close(), l.Close())
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(closing); err != nil {
		_ = server.Close()
	}
	for range l.listeners {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) && got.err == nil {
			got.err = err
		}
	}
	return got.code, got.err
}

func callback(path string, c *Connect, came chan<- returned) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer") // the address has the code in it
		code, state, err := ReadCallback(r.URL.Query())
		if r.Method != http.MethodGet || r.URL.EscapedPath() != path ||
			subtle.ConstantTimeCompare([]byte(state), []byte(c.State())) != 1 {
			http.NotFound(w, r)
			return
		}
		if wrong := c.CheckIssuer(r.URL.Query()); wrong != nil {
			code, err = "", wrong
		}
		text := "Sallyport has what it needs. You can close this page and go back to the terminal.\n"
		if err != nil {
			text = "The provider gave no consent that counts. You can close this page and go back to the terminal.\n"
		}
		select {
		case came <- returned{code, err}:
			_, _ = w.Write([]byte(text))
		default:
			http.NotFound(w, r)
		}
	})
}
