package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/consent"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/gateway"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/monitor"
	"sallyport/internal/secret"
)

// Options are what an App needs beside its configuration.
type Options struct {
	Config     *config.Config
	ConfigPath string // re-read by Reload; "" when there is no file
	Reread     func() (*config.Config, config.Warnings, error)
	Log        *slog.Logger
	Version    string
	Settled    func() // is called when another configuration has become active, and what it took to load can be let go; may be nil

	adapter func(*config.Store) (secret.Store, error) // instead of the real ones, in tests

	AcceptAuditDamage bool // begin a new audit log where the old one is damaged, and set that aside
}

// App is the running gate.
type App struct {
	o        Options
	log      *slog.Logger
	state    *State
	audit    *audit.Log
	pipeline *boundary.Pipeline
	metrics  *monitor.Metrics
	gateway  *gateway.Gateway
	follower *database.Follower // of what other processes change; from Start on

	files    atomic.Pointer[map[string]string] // stamps of the configuration's files, as they were read last
	config   atomic.Pointer[config.Config]
	reload   sync.Mutex // held while what is active is replaced
	next     *next      // guarded by reload: the configuration that is being loaded, or nil
	closed   bool       // guarded by reload
	reloads  reloads
	loaded   atomic.Int64
	tokens   atomic.Pointer[[]token.Generation] // for the metrics, a few seconds old
	invalid  atomic.Pointer[string]             // why the configuration on disk is not active
	consents *consent.Gate

	altered struct { // what was found last of rows that are left out
		mu      sync.Mutex
		reports atomic.Pointer[[]ledger.Report]
	}

	listeners listeners
	started   atomic.Bool        // it serves, or has served
	stop      context.CancelFunc // ends the background loops
	running   guard.Group
	failed    chan error
}

type listeners struct {
	gateway, admin, control net.Listener
	own                     egress.Own // the first two: no service dials them. The third is no network address
}

// New builds everything; nothing listens yet. After an error nothing is left open.
func New(ctx context.Context, o Options) (_ *App, err error) {
	a := &App{o: o, log: o.Log, failed: make(chan error, 3), metrics: monitor.New(o.Version)}
	a.config.Store(o.Config)
	a.noteRead(o.Config, nil)
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close(context.WithoutCancel(ctx)))
		}
	}()
	if a.state, err = open(ctx, o.Config, observers{
		store: a.noted, minted: a.minted, panicked: a.broke, adapter: o.adapter,
		recordMint: func(ctx context.Context, name string) error { return a.audit.Admin(ctx, mintEvent("gate", name)) },
	}); err != nil {
		return a, err
	}
	a.state.Tokens.Bound(o.Config.Revocation.MaxStale)
	a.consents = a.newConsents()
	if a.audit, err = a.state.openAudit(ctx, audit.Options{
		OnCheckpoint: a.checkpointed, OnRotate: a.auditRotated, OnRemove: a.auditRemoved, AcceptDamage: o.AcceptAuditDamage,
		Broke: func(why *fault.Panic) { a.broke("audit", why) },
	}); err != nil {
		if errors.Is(err, audit.ErrLocked) {
			err = fault.WithExit(fault.WithHint(err, "another `sallyport serve` runs on this data directory"), fault.ExitLocked)
		}
		return a, err
	}
	a.pipeline = boundary.New(boundary.Options{
		Tokens: a.state.Tokens, Audit: a.audit, Observer: a.metrics, Log: o.Log,
		InFlight: int64(o.Config.Limits.InFlight), PerToken: int64(o.Config.Limits.TokenShare()), PerService: int64(o.Config.Limits.ServiceShare()), Now: time.Now,
	})
	n, err := a.announce(o.Config)
	if err != nil {
		return a, err
	}
	if _, err := a.activate(ctx, n); err != nil {
		return a, err
	}
	a.narrow(ctx)
	if a.state.adopted {
		a.log.InfoContext(ctx, "the rows of this database were put on record; from now on only what Sallyport writes counts")
	}
	a.tellAltered(ctx)
	a.metrics.Watch(a, func(why *fault.Panic) { a.broke("metrics", why) })
	return a, a.buildGateway(ctx)
}

func (a *App) buildGateway(ctx context.Context) error {
	tlsConfig, err := serverTLS(a.o.Config)
	if err != nil {
		return err
	}
	a.gateway = gateway.New(gateway.Options{
		Pipeline: a.pipeline, MaxHead: int(a.o.Config.Limits.HeaderBytes), TLS: tlsConfig, Log: a.log,
		ServerError: a.metrics.ServerError, Connections: connectionLimit(ctx, a.o.Config, a.log, a.metrics),
	})
	return nil
}

// checkpointed writes each whole checkpoint, signature included, to the process's log, which may be kept outside the host: a
// copy of it there is what shows that log and checkpoints were not cut back together.
func (a *App) checkpointed(c audit.Checkpoint) {
	text, err := json.Marshal(c)
	if err != nil {
		a.log.Error("writing an audit checkpoint to the log", "error", err)
		return
	}
	write := a.log.Info
	if !a.started.Load() {
		write = a.log.Debug // it signs nothing yet but that the log was opened
	}
	write("audit checkpoint", "checkpoint", json.RawMessage(text))
}

// Start listens and serves. Wait tells when something broke; Stop ends it.
func (a *App) Start(ctx context.Context) error {
	if err := a.listen(ctx); err != nil {
		return errors.Join(err, a.close(context.WithoutCancel(ctx)))
	}
	a.follower = a.newFollower()
	if err := a.follower.Start(ctx); err != nil {
		a.log.ErrorContext(ctx, "registering this replica; no token is accepted until it is", "error", err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	a.serve("gateway", func() error { return a.gateway.Serve(a.listeners.gateway) })
	a.serveHTTP("admin", a.listeners.admin, a.adminHandler())
	a.serveHTTP("control", a.listeners.control, a.controlHandler())
	for name, loop := range map[string]func(context.Context){
		"database": a.follower.Run, "configuration": a.watchConfig, "use of tokens": a.flushTokens, "expiry": a.endExpired,
		"secrets": a.follow, "rotation": a.newSchedule().Run, "rows": a.watchRows, "derived tokens": a.state.pool.Run,
	} {
		a.running.Go(name, func() { a.background(background, name, loop) })
	}
	a.started.Store(true)
	a.log.InfoContext(ctx, "serving", "gateway", a.GatewayURL(), "admin", a.AdminURL(), "services", len(a.o.Config.Services), "version", a.o.Version)
	return nil
}

func (a *App) listen(ctx context.Context) (err error) {
	c := a.o.Config
	if a.listeners.gateway, err = listenTCP(ctx, "gateway", c.Listen.Gateway, c, a.log); err != nil {
		return err
	}
	if a.listeners.admin, err = listenTCP(ctx, "admin", c.Listen.Admin, c, a.log); err != nil {
		return err
	}
	a.listeners.own.Set(addressOf(a.listeners.gateway), addressOf(a.listeners.admin))
	a.listeners.control, err = a.listenControl(ctx)
	return err
}

func addressOf(l net.Listener) netip.AddrPort {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

func (a *App) serve(name string, run func() error) {
	a.running.Go("serving "+name, func() {
		if err := guard.Try("serving", run); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			a.failed <- fmt.Errorf("serving %s: %w", name, err)
		}
	})
}

// Wait blocks until ctx ends or a listener breaks.
func (a *App) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.failed:
		return err
	}
}

// Stop drains and tears down, within the drain time in all: new requests are answered with draining until those in flight are
// through. What has not ended shortly before the time is over is broken off, which is on record as Sallyport's doing; the rest of the
// time is for the last records and the teardown. Nothing acknowledged is lost.
func (a *App) Stop(ctx context.Context) error {
	a.pipeline.Drain()
	end := time.Now().Add(a.o.Config.Drain)
	tail := min(a.o.Config.Drain/3, teardown)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	a.drain(ctx, end.Add(-tail))
	if n := a.pipeline.InFlight(); n > 0 {
		a.log.WarnContext(ctx, "breaking off requests that did not end within the drain time", "in_flight", n)
		why := fault.New(fault.Draining, "this Sallyport is stopping, and the request did not end within its drain time")
		a.pipeline.EndAll(why)
		a.gateway.BreakOff(why) // also what has no credential yet, such as a wait for a token
	}
	a.pipeline.CloseUpgraded()
	if a.stop != nil {
		a.stop()
	}
	a.drain(ctx, end.Add(-tail*2/3)) // what was broken off still writes its record
	last, done := context.WithDeadline(ctx, end.Add(-tail/3))
	err := a.gateway.Shutdown(last)
	done()
	if errors.Is(err, context.DeadlineExceeded) { // a caller does not take its answer, or has not sent its head
		err = a.gateway.Close()
		a.drain(ctx, end.Add(-tail/4))
	}
	return errors.Join(err, a.close(ctx))
}

// teardown is the most of the drain time that is kept for the end.
const teardown = 3 * time.Second

// drain waits until nothing is in flight. The listener stays open meanwhile, so that callers get an answer and not a refused
// connection.
func (a *App) drain(ctx context.Context, until time.Time) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for a.pipeline.InFlight() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// close tears down in reverse order, whatever of it there is. What still works when ctx ends, such as a call to a token endpoint
// that takes its time, is left to end with the process, which it survives like any other crash.
func (a *App) close(ctx context.Context) error {
	var errs []error
	for _, l := range []net.Listener{a.listeners.gateway, a.listeners.admin, a.listeners.control} {
		if l != nil {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if a.stop != nil {
		a.stop()
	}
	if !a.within(ctx, 2, func() { a.abandon(); a.running.Wait() }) {
		a.log.WarnContext(ctx, "stopping without waiting for what still works in the background")
	}
	if a.pipeline != nil {
		for _, s := range a.pipeline.Services().All() {
			s.Close()
		}
	}
	if a.audit != nil {
		errs = append(errs, a.audit.Close())
	}
	if a.state != nil {
		var err error
		if a.within(ctx, 1, func() { err = a.state.Close() }) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// within calls wait, and reports false when it took longer than a share (one part of so many) of what is left until ctx ends.
// What it waits for goes on then.
func (a *App) within(ctx context.Context, parts time.Duration, wait func()) bool {
	end, bounded := ctx.Deadline()
	if !bounded {
		wait()
		return true
	}
	done := make(chan struct{})
	guard.Go("stopping", func() {
		defer close(done)
		wait()
	}, func(why *fault.Panic) { a.broke("stop", why) })
	timer := time.NewTimer(max(time.Until(end)/parts, 50*time.Millisecond))
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
