package app

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/gateway"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
	"sallyport/internal/rotation/evidence"
)

// New builds everything; nothing listens yet. After an error nothing is left open.
func New(ctx context.Context, o Options) (_ *App, err error) {
	a := &App{o: o, log: o.Log, failed: make(chan error, 3), metrics: monitor.New(o.Version)}
	a.config.Store(o.Config)
	a.noteRead(o.Config, nil)
	defer func() {
		if err != nil {
			err = errors.Join(err, a.closers.close(context.WithoutCancel(ctx)))
		}
	}()
	if a.state, err = open(ctx, o.Config, observers{
		store: a.noted, read: a.readStore, minted: a.minted, panicked: a.broke, adapter: o.adapter,
		recordMint: func(ctx context.Context, name string) error { return a.audit.Admin(ctx, mintEvent("gate", name)) },
	}); err != nil {
		return a, err
	}
	a.closers.push("state", a.closeState)
	a.state.Tokens.Bound(o.Config.Revocation.MaxStale)
	a.consents = a.newConsents()
	if a.audit, err = a.state.openAudit(ctx, audit.Options{
		OnCheckpoint: a.checkpointed, OnRotate: a.auditRotated, OnRemove: a.auditRemoved,
		AcceptDamage: o.AcceptAuditDamage,
		Broke:        func(why *fault.Panic) { a.broke("audit", why) },
	}); err != nil {
		if errors.Is(err, audit.ErrLocked) {
			err = fault.WithExit(fault.WithHint(err, "another `sallyport serve` runs on this data directory"),
				fault.ExitLocked)
		}
		return a, err
	}
	a.closers.push("audit log", func(context.Context) error { return a.audit.Close() })
	if a.pollKey, err = a.state.sealer.MACKey(ctx, keyPoll); err != nil {
		return a, err
	}
	if a.probeKey, err = a.state.sealer.MACKey(ctx, keyProbe); err != nil {
		return a, err
	}
	if err := a.openTracing(o.Config.Tracing); err != nil {
		return a, err
	}
	a.uses = &evidence.Counter{Log: a.audit, DB: a.state.DB, Now: time.Now}
	a.pipeline = boundary.New(boundary.Options{
		Tokens: a.state.Tokens, Audit: a.uses, Observer: a.metrics, Log: o.Log,
		InFlight: int64(o.Config.Limits.InFlight), PerToken: int64(o.Config.Limits.TokenShare()),
		PerService: int64(o.Config.Limits.ServiceShare()), Now: time.Now, Tracer: a.tracer(),
	})
	a.closers.push("services", a.closeServices)
	a.closers.push("background tasks", a.closeBackground)
	n, err := a.announce(o.Config)
	if err != nil {
		return a, err
	}
	if _, err := a.activate(ctx, n); err != nil {
		return a, err
	}
	a.narrow(ctx)
	if a.state.adopted {
		a.log.InfoContext(ctx,
			"the rows of this database were put on record; from now on only what Sallyport writes counts")
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
