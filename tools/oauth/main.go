// Command oauth is a real OAuth 2.0 and OpenID Connect server for the end-to-end tests, made of github.com/ory/fosite:
//
//	oauth [-access 3s] < registration.json
//
// It listens on a free port of 127.0.0.1, prints "listening on URL", and keeps everything in memory. Who may ask for
// tokens stands on stdin, since it holds secrets. It gives tokens by client_credentials, by authorization_code with
// PKCE (every user consents at once), by refresh_token, and for JWT assertions (RFC 7523). Refresh tokens rotate: a
// refresh revokes the access token before it, and a second use of a refresh token revokes the whole grant.
//
// It is not a product and not a double: what it accepts and refuses is fosite's, which Ory Hydra runs on. Its own are
// only the endpoints below /lab, by which a test changes the lifetime of tokens, ends them, and asks what has happened.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "oauth: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("oauth", flag.ContinueOnError)
	access := flags.Duration("access", time.Hour, "how long an access token lives")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var who registration
	in := json.NewDecoder(stdin)
	in.DisallowUnknownFields()
	if err := in.Decode(&who); err != nil {
		return fmt.Errorf("reading the registration: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	s, err := newServer(ctx, url, *access, who)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	s.log = slog.New(slog.NewTextHandler(stdout, nil))
	fmt.Fprintln(stdout, "listening on", url)
	return serve(ctx, listener, s.handler())
}

// serve serves until the context ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	err := server.Close()
	if ended := <-done; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
