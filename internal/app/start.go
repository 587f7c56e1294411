package app

import (
	"context"
	"errors"
)

// Start listens and serves. Wait tells when something broke; Stop ends it.
func (a *App) Start(ctx context.Context) error {
	if err := a.listen(ctx); err != nil {
		return errors.Join(err, a.closers.close(context.WithoutCancel(ctx)))
	}
	a.follower = a.newFollower()
	if err := a.follower.Start(ctx); err != nil {
		a.log.ErrorContext(ctx, "registering this replica; no token is accepted until it is", "error", err)
	}
	a.notices = a.newNotices(ctx)
	a.closers.push("notices of rotations", a.closeNotices)
	a.secrets = a.newSecretRotations()
	a.closers.push("rotations of secrets", a.closeRotations)
	a.probes = a.newProber()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	a.serve("gateway", func() error { return a.gateway.Serve(a.listeners.gateway) })
	a.serveHTTP("admin", a.listeners.admin, a.adminHandler())
	a.serveHTTP("control", a.listeners.control, a.controlHandler(background))
	for name, loop := range map[string]func(context.Context){
		"database": a.follower.Run, "configuration": a.watchConfig, "use of tokens": a.flushTokens,
		"expiry":  a.endExpired,
		"secrets": a.follow, "rotation": a.newSchedule().Run, "rows": a.watchRows, "derived tokens": a.state.pool.Run,
		"rotations of secrets": a.secrets.Run, "what rotations ask": a.secrets.Answer,
		"probes": a.probes.Run,
	} {
		a.running.Go(name, func() { a.background(background, name, loop) })
	}
	a.startSinks(background)
	a.started.Store(true)
	a.log.InfoContext(ctx, "serving", "gateway", a.GatewayURL(), "admin", a.AdminURL(),
		"services", len(a.o.Config.Services), "version", a.o.Version)
	return nil
}

func (a *App) listen(ctx context.Context) (err error) {
	c := a.o.Config
	if a.listeners.gateway, err = listenTCP(ctx, "gateway", c.Listen.Gateway, c, a.log); err != nil {
		return err
	}
	a.closers.push("gateway's listener", closeListener(a.listeners.gateway))
	if a.listeners.admin, err = listenTCP(ctx, "admin", c.Listen.Admin, c, a.log); err != nil {
		return err
	}
	a.closers.push("admin listener", closeListener(a.listeners.admin))
	a.listeners.own.Set(addressOf(a.listeners.gateway), addressOf(a.listeners.admin))
	if a.listeners.control, err = a.listenControl(ctx); err != nil {
		return err
	}
	a.closers.push("control socket", closeListener(a.listeners.control))
	return nil
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
