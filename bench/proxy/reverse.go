package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"time"

	"sallyport/bench/upstream"
)

// ReverseProxy is the yardstick: httputil.ReverseProxy that sets one header. self is this program; it runs Reverse when
// it is called as "self reverseproxy ADDRESS URL AUTHORITY-FILE".
func ReverseProxy(self string) Program {
	return Program{Name: "ReverseProxy", Start: func(ctx context.Context, dir string, api API) (*Proxy, error) {
		address, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, self, "reverseproxy", address, api.URL(), api.AuthorityFile)
		return launch(ctx, dir, cmd, &Proxy{Name: "ReverseProxy", Address: address})
	}}
}

// Reverse serves until ctx ends. The server has the timeouts that any public one needs; the transport keeps as many
// idle connections as the gate's; there is no buffer pool, as there is none unless one is written.
func Reverse(ctx context.Context, address, target, authorityFile string) error {
	to, err := url.Parse(target)
	if err != nil {
		return fmt.Errorf("reading the upstream's URL: %w", err)
	}
	trust, err := roots(authorityFile)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(to)
				r.Out.Header.Set("Authorization", "Bearer "+upstream.Key)
			},
			Transport: &http.Transport{
				DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
				TLSClientConfig:       &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12},
				TLSHandshakeTimeout:   10 * time.Second,
				ResponseHeaderTimeout: 5 * time.Minute,
				IdleConnTimeout:       90 * time.Second,
				MaxIdleConnsPerHost:   Idle,
				DisableCompression:    true,
			},
		},
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nothing in flight is worth waiting for
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// roots reads the authorities to trust; an empty name means the system's.
func roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // nil is how crypto/tls spells "the system's"
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("reading the authority: %q holds no certificate", file)
	}
	return pool, nil
}
