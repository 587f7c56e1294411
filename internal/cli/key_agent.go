package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/agent"
	"sallyport/internal/n8n/environment"
)

// minToken is the shortest token of an agent, in bytes.
const minToken = agent.MinToken

// keyAgency is what `key agent` was called with.
type keyAgency struct {
	listen, tokenFile string
	cert, key         string
	insecure          bool
	role              string
}

func (e *env) keyAgent() *cobra.Command {
	var a keyAgency
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Answer `key verify` over HTTP, for a node in which nobody can run a program from afar",
		Long: `Answers POST /v1/fingerprint {"nonce": …} with what 'sallyport key verify --local --nonce …' says of the n8n in the same container,
or of its own environment: run it with the variables and the volumes of n8n. Callers need the token of --token-file, as
'Authorization: Bearer'. Beside that it serves GET /healthz alone. The key itself is never told.

Beyond this machine it wants TLS.`,
		Example: "  sallyport key agent --listen :8473 --token-file /run/secrets/agent_token --cert tls.crt --key " +
			"tls.key",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.serveAgent(cmd.Context(), a) },
	}
	f := cmd.Flags()
	f.StringVar(&a.listen, "listen", "127.0.0.1:8473", "address to listen on")
	f.StringVar(&a.tokenFile, "token-file", "", "file with the token that callers need, 16 characters or more")
	f.StringVar(&a.cert, "cert", "", "file with the certificate, PEM")
	f.StringVar(&a.key, "key", "", "file with the certificate's key, PEM")
	f.BoolVar(&a.insecure, "insecure", false, "listen beyond this machine without TLS")
	f.StringVar(&a.role, "role", "", "what the node is (main, worker, webhook), where that cannot be seen")
	return cmd
}

func (a keyAgency) check() error {
	host, _, err := net.SplitHostPort(a.listen)
	ip := net.ParseIP(host)
	switch {
	case err != nil:
		return usage(fmt.Errorf("reading --listen: %w", err), "for example 127.0.0.1:8473")
	case a.tokenFile == "":
		return usage(errors.New("an agent wants a token"),
			"--token-file FILE; `sallyport key generate --out FILE` makes one that will do")
	case (a.cert == "") != (a.key == ""):
		return usage(errors.New("a certificate and its key go together"), "give both --cert and --key")
	case a.cert == "" && !a.insecure && host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return usage(errors.New("beyond this machine the token would go over the network in the clear"),
			"give --cert and --key, or --insecure")
	}
	return nil
}

func (e *env) serveAgent(ctx context.Context, a keyAgency) error {
	if err := a.check(); err != nil {
		return err
	}
	token, err := readToken(a.tokenFile)
	if err != nil {
		return err
	}
	here := masterkey.Here{Role: environment.Role(a.role)}
	server := agent.Server(agent.Options{Token: token, Inspect: here.Inspect})
	scheme := "http"
	if a.cert != "" {
		pair, err := tls.LoadX509KeyPair(a.cert, a.key)
		if err != nil {
			return fault.WithHint(fmt.Errorf("reading --cert and --key: %w", err), "both are PEM, and belong together")
		}
		scheme, server.TLSConfig = "https", &tls.Config{
			Certificates: []tls.Certificate{pair},
			MinVersion:   tls.VersionTLS12,
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	e.note("key agent listens on %s://%s", scheme, listener.Addr())
	return serveUntil(ctx, server, listener)
}

// farewell is how long a server may take to end its answers.
const farewell = 5 * time.Second

// serveUntil serves until ctx ends.
func serveUntil(ctx context.Context, server *http.Server, listener net.Listener) error {
	served := make(chan error, 1)
	guard.Go("serving", func() { // ends with the server, which is waited for below
		if server.TLSConfig != nil {
			served <- server.ServeTLS(listener, "", "")
			return
		}
		served <- server.Serve(listener)
	}, func(why *fault.Panic) { served <- why })
	select {
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	within, stop := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer stop()
	err := server.Shutdown(within)
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serving: %w", ended))
	}
	return err
}
