package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/gateway"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/monitor"
)

// sealedRetry is how often a sealed start tries to open the store.
const sealedRetry = 2 * time.Second

// NewWhenOpen is New for a gate that must answer from its first moment: as long as the store cannot be opened (the
// database is not there yet, the seal key is missing or does not fit), its listeners answer every request with
// store_unavailable, and /readyz says why. Nothing is decided, dialled or recorded meanwhile. Other errors end it, as
// New's do.
func NewWhenOpen(ctx context.Context, o Options) (*App, error) {
	a, err := New(ctx, o)
	if !closedStore(err) {
		return a, err
	}
	s, serr := startSealed(ctx, o, err)
	if serr != nil {
		return nil, errors.Join(err, serr)
	}
	o.Log.ErrorContext(ctx, "SEALED: answering store_unavailable until the store can be opened", "error", err,
		"hint", fault.HintOf(err))
	tick := time.NewTicker(sealedRetry)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), s.stop())
		case <-tick.C:
		}
		state, err := Open(ctx, o.Config)
		s.because(err)
		if closedStore(err) {
			continue
		}
		if err == nil {
			err = state.Close()
		}
		if err = errors.Join(err, s.stop()); err != nil {
			return nil, err
		}
		o.Log.InfoContext(ctx, "the store can be opened now")
		return New(ctx, o)
	}
}

// closedStore tells whether err is one that time, or a person, may mend from outside.
func closedStore(err error) bool {
	exit := fault.ExitOf(err)
	return exit == fault.ExitStore || exit == fault.ExitKeyMismatch
}

// sealed is a gate without a store.
type sealed struct {
	pipeline *boundary.Pipeline
	gateway  *gateway.Gateway
	admin    *http.Server
	running  guard.Group
	failed   chan error

	mu  sync.Mutex
	why error
}

// unrecorded stands in for the audit log, whose keys are in the store.
type unrecorded struct{}

// Authorise implements boundary.Audit: nothing can be authorised.
func (unrecorded) Authorise(context.Context, *audit.Event) error { return audit.ErrClosed }

// Complete implements boundary.Audit.
func (unrecorded) Complete(*audit.Event) {}

// Refuse implements boundary.Audit.
func (unrecorded) Refuse(*audit.Event) {}

func startSealed(ctx context.Context, o Options, why error) (*sealed, error) {
	metrics := monitor.New(o.Version)
	s := &sealed{failed: make(chan error, 2), why: why}
	s.pipeline = boundary.New(boundary.Options{Audit: unrecorded{}, Observer: metrics, Log: o.Log, Now: time.Now})
	s.pipeline.Seal(fault.New(fault.StoreUnavailable, "its store is sealed: no token and no credential can be read"))
	tlsConfig, err := serverTLS(o.Config)
	if err != nil {
		return nil, err
	}
	s.gateway = gateway.New(gateway.Options{
		Pipeline: s.pipeline, MaxHead: int(o.Config.Limits.HeaderBytes), TLS: tlsConfig, Log: o.Log,
		ServerError: metrics.ServerError,
		Connections: connectionLimit(ctx, o.Config, o.Log, metrics),
	})
	front, err := listenTCP(ctx, "gateway", o.Config.Listen.Gateway, o.Config, o.Log)
	if err != nil {
		return nil, err
	}
	back, err := listenTCP(ctx, "admin", o.Config.Listen.Admin, o.Config, o.Log)
	if err != nil {
		return nil, errors.Join(err, front.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler())
	mux.Handle("GET /healthz", monitor.Alive())
	mux.Handle("GET /readyz", monitor.Readiness(s.parts))
	s.admin = newServer("admin", mux, o.Log, metrics)
	s.serve(func() error { return s.gateway.Serve(front) })
	s.serve(func() error { return serveAdmin(s.admin, back, tlsConfig, o.Log, metrics) })
	return s, nil
}

func (s *sealed) serve(run func() error) {
	s.running.Go("serving", func() {
		if err := guard.Try("serving", run); err != nil && !errors.Is(err, http.ErrServerClosed) &&
			!errors.Is(err, net.ErrClosed) {
			s.failed <- err
		}
	})
}

func (s *sealed) because(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = err
}

// parts is what /readyz says.
func (s *sealed) parts(*http.Request) []monitor.Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []monitor.Part{part("store", s.why, fault.HintOf(s.why))}
}

// stop gives the addresses free for the gate that follows.
func (s *sealed) stop() error {
	err := errors.Join(s.gateway.Close(), s.admin.Close())
	s.running.Wait()
	select {
	case failed := <-s.failed:
		return errors.Join(err, failed)
	default:
		return err
	}
}
