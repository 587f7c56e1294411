package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"sallyport/internal/boundary/consent"
	"sallyport/internal/guard"
	"sallyport/internal/monitor"
)

func (a *App) serve(name string, run func() error) {
	a.running.Go("serving "+name, func() {
		if err := guard.Try("serving", run); err != nil && !errors.Is(err, http.ErrServerClosed) &&
			!errors.Is(err, net.ErrClosed) {
			a.failed <- fmt.Errorf("serving %s: %w", name, err)
		}
	})
}

// serveHTTP serves a handler of our own until close closes its listener.
func (a *App) serveHTTP(name string, l net.Listener, h http.Handler) {
	server := newServer(name, a.guarded(name, h), a.log, a.metrics)
	if name == "control" {
		server.ConnContext = known
	}
	a.serve(name, func() (err error) {
		if name == "admin" {
			var tlsConfig *tls.Config
			if tlsConfig, err = serverTLS(a.o.Config); err != nil {
				return err
			}
			err = serveAdmin(server, l, tlsConfig, a.log, a.metrics)
		} else {
			err = server.Serve(l)
		}
		return errors.Join(err, server.Close())
	})
}

// adminHandler is the admin listener: it tells, and changes nothing but what a command has begun and a person consents
// to.
func (a *App) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.metrics.Handler())
	mux.Handle("GET /healthz", monitor.Alive())
	mux.Handle("GET /readyz", monitor.Readiness(func(*http.Request) []monitor.Part { return a.parts() }))
	mux.HandleFunc("GET "+consent.CallbackPath, a.consents.Callback)
	mux.HandleFunc("GET "+consent.CallbackPath+"/{service...}", a.consents.Callback)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w,
			"Sallyport %s\n\n/metrics  Prometheus\n/healthz  alive\n/readyz   able to serve, and what is not\n",
			a.o.Version)
	})
	return mux
}
