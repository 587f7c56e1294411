package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/boundary"
	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// The rule of a reload: at every instant a request is decided by one whole configuration. Scopes, services and
// credentials change together, by one pointer, after everything has been loaded. Until then the old configuration
// serves, with its own credentials, and the next one may only refuse: what it tightens holds at once, what it loosens
// holds when all of it does.

// Reload reads the configuration again, and makes it active once all of it is built and loaded. With an error, or when
// ctx ends first, everything stays as it is. Calls may overlap: one that asks while another is still waiting for its
// turn shares its result, and a newer configuration takes the place of one that is still being loaded, whose caller
// gets the newer result.
func (a *App) Reload(ctx context.Context) error {
	run, lead := a.reloads.join()
	if !lead {
		select {
		case <-run.done:
			return run.err
		case <-ctx.Done():
			return fmt.Errorf("waiting for a reload: %w", context.Cause(ctx))
		}
	}
	a.run(ctx, run)
	return run.err
}

// RequestReload is Reload for who does not wait for it, and asks again when there is more to read: a configuration that
// is slow to load does not keep a newer one from taking its place. It is logged how it ends. ctx ends it early. Call it
// between Start and Stop.
func (a *App) RequestReload(ctx context.Context) {
	if run, lead := a.reloads.join(); lead {
		a.running.Go("reloading", func() { a.run(ctx, run) })
	}
}

// run leads a reload. It ends also when that panics, for those who wait for it and for those who ask next.
func (a *App) run(ctx context.Context, run *reloading) {
	defer close(run.done)
	run.err = guard.Try("reloading", func() error { return a.lead(ctx) })
	if why, ok := errors.AsType[*fault.Panic](run.err); ok { // the next reload clears up
		text := why.Error()
		a.invalid.Store(&text)
		a.broke("reload", why)
	}
}

func (a *App) lead(ctx context.Context) error {
	n, warnings, err := a.read(ctx)
	if err != nil && a.brokenOff(ctx, err) {
		return err
	}
	if err != nil {
		why := err.Error()
		a.invalid.Store(&why)
		a.log.ErrorContext(ctx, "keeping the old configuration: the new one has errors", "error", why)
		return err
	}
	for _, w := range warnings {
		a.log.WarnContext(ctx, "configuration", "warning", w.Error())
	}
	before := a.config.Load()
	by, err := a.activate(ctx, n)
	switch {
	case by != nil: // whose own reload tells what comes of it
		a.log.InfoContext(ctx, "a newer configuration took the place of one that was being loaded")
		return a.outcome(ctx, by)
	case err != nil:
		a.brokenOff(ctx, err)
		return err
	}
	a.narrow(ctx)
	a.warnDropped(ctx, before, n.config)
	if a.o.Settled != nil {
		a.o.Settled()
	}
	a.log.InfoContext(ctx, "configuration active", "services", len(n.config.Services))
	if fixed(a.o.Config) != fixed(n.config) {
		a.log.WarnContext(ctx, "listen, data, database, seal, tls, audit, tracing and limits take effect at the "+
			"next start")
	}
	return nil
}

// brokenOff tells, and logs, that a reload ended because the gate stops, or whoever asked for it does not want it any
// more. That says nothing about the configuration, and nobody has to do anything about it.
func (a *App) brokenOff(ctx context.Context, err error) bool {
	if !errors.Is(err, errStopping) && ctx.Err() == nil {
		return false
	}
	a.log.InfoContext(ctx, "a reload was broken off; the configuration stays as it is", "why", err)
	return true
}

// read reads and builds the next configuration, which may refuse from then on.
func (a *App) read(ctx context.Context) (*next, config.Warnings, error) {
	a.reloads.reading.Lock()
	defer a.reloads.reading.Unlock()
	a.reloads.begin()
	defer a.reloads.end()
	c, warnings, err := a.reread(ctx)
	if err != nil {
		return nil, nil, err
	}
	n, err := a.announce(c)
	return n, warnings, err
}

// announce builds c beside the active configuration, takes the place of one that is still being loaded, and begins to
// refuse what c does not permit.
func (a *App) announce(c *config.Config) (*next, error) {
	for {
		active, before := a.pipeline.Services(), a.state.stores.current()
		p := a.state.stores.plan(c)
		table, err := assemble.Table(c, active, func(one *config.Service) bool { return p.keeps(before, one) })
		if err != nil {
			return nil, err
		}
		for _, one := range table.All() {
			one.Shun(&a.listeners.own)
		}
		if n, err := a.announced(c, p, active, table); n != nil || err != nil {
			return n, err
		}
	}
}

// announced returns nil when another configuration has become active since, and c has to be built beside that.
func (a *App) announced(c *config.Config, p *setup, active, table *service.Table) (*next, error) {
	a.reload.Lock()
	defer a.reload.Unlock()
	switch {
	case a.closed:
		return nil, errStopping
	case a.pipeline.Services() != active:
		return nil, nil //nolint:nilnil // as it says above
	}
	n := &next{
		config: c, table: table, routing: boundary.Configuration{Services: table, Scopes: scopes(c)},
		done: make(chan struct{}),
	}
	n.loading, n.stop = context.WithCancel(context.Background()) //nolint:forbidigo // activate ends it with its own
	if old := a.next; old != nil {
		old.by = n
		a.discard(old)
	}
	n.stores = a.state.stores.prepare(p)
	a.next = n
	a.pipeline.Restrict(&n.routing)
	return n, nil
}

// discard takes back what was made ready for a configuration that will not be active; what it refuses stays refused
// until the caller says otherwise, who holds a.reload.
func (a *App) discard(n *next) {
	n.stop()
	n.stores.Drop()
	a.next = nil
	closeReplaced(n.table, a.pipeline.Services())
	a.state.assembler.Keep(a.pipeline.Services())
}

// activate loads what n names and puts it in the place of the active configuration, unless another took the place of n,
// which is returned. An error says that ctx ended first.
func (a *App) activate(ctx context.Context, n *next) (by *next, err error) {
	defer func() { n.by, n.err = by, err; close(n.done) }()
	err = guard.Try("loading a configuration", func() (err error) {
		by, err = a.load(ctx, n)
		return err
	})
	return by, err
}

func (a *App) load(ctx context.Context, n *next) (by *next, err error) {
	defer context.AfterFunc(ctx, n.stop)()
	n.stores.load(n.loading, a.state.assembler, n.table, a.pipeline.Services()) //nolint:contextcheck // ended by ctx, above
	by, err = a.settle(ctx, n)
	n.stop()
	return by, err
}

// outcome waits until n, or what took its place, is active or broken off.
func (a *App) outcome(ctx context.Context, n *next) error {
	for ; n != nil; n = n.by {
		select {
		case <-n.done:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a newer configuration: %w", context.Cause(ctx))
		}
		if n.err != nil {
			return n.err
		}
	}
	return nil
}

// settle makes n active, unless ctx has ended or another has taken its place, which is returned.
func (a *App) settle(ctx context.Context, n *next) (by *next, err error) {
	a.reload.Lock()
	defer a.reload.Unlock()
	switch {
	case a.closed:
		return nil, errStopping
	case a.next != n:
		a.state.assembler.Keep(a.tables()...) // what was still being made when it was discarded
		return n.by, nil
	case ctx.Err() != nil:
		a.discard(n)
		a.pipeline.Restrict(nil)
		return nil, fmt.Errorf("loading the configuration: %w", context.Cause(ctx))
	}
	a.swap(context.WithoutCancel(ctx), n)
	return nil, nil
}

// errStopping tells that the gate came to its end meanwhile.
var errStopping = errors.New("loading the configuration: the gate is stopping")

// abandon ends a reload under way, before what it uses is closed.
func (a *App) abandon() {
	a.reload.Lock()
	defer a.reload.Unlock()
	a.closed = true
	if a.next != nil {
		a.discard(a.next)
	}
}

// tables are the active services, and those of the next configuration. The caller holds a.reload.
func (a *App) tables() []*service.Table {
	if a.next == nil {
		return []*service.Table{a.pipeline.Services()}
	}
	return []*service.Table{a.pipeline.Services(), a.next.table}
}

// swap makes n active. Everything is in memory by now. The caller holds a.reload.
func (a *App) swap(ctx context.Context, n *next) {
	old := a.pipeline.Services()
	n.stores.use()
	if a.state.publish(ctx, n.table) > 0 { // with what has changed while it was loaded
		a.warnOfCredentials(ctx, n.table)
	}
	a.pipeline.Route(n.routing)
	a.next = nil
	a.state.Tokens.Govern(n.routing.Scopes)
	a.state.pool.Activate(n.table)
	a.state.assembler.Keep(n.table)
	a.config.Store(n.config)
	a.useSinks(n.config)
	a.loaded.Store(time.Now().Unix())
	a.invalid.Store(nil)
	closeReplaced(old, n.table)
}

func (a *App) warnOfCredentials(ctx context.Context, t *service.Table) {
	for _, s := range t.All() {
		if f := s.Credential.Failure(); f != nil {
			a.log.WarnContext(ctx, "a service has no usable credential", "service", s.Name, "code", f.Code,
				"why", f.Message, "hint", f.Hint)
		}
	}
}

// closeReplaced lets go of the connections of services that are not in next.
func closeReplaced(old, next *service.Table) {
	for _, s := range old.All() {
		if !next.Holds(s) {
			s.Close()
		}
	}
}

// fixed is what a reload cannot change.
func fixed(c *config.Config) string {
	log := c.Audit
	log.Sinks = nil // they are taken up at once
	return fmt.Sprint(c.Listen, c.Data, c.Database, c.DatabaseFile, c.Seal, c.TLS, c.Insecure, log, c.Limits,
		tracingText(c),
		c.Revocation.MaxStale, c.Drain)
}

// tracingText is the tracing of c, without addresses of memory.
func tracingText(c *config.Config) string {
	if c.Tracing == nil {
		return ""
	}
	t := *c.Tracing
	t.Endpoint = nil
	return fmt.Sprint(c.Tracing.Endpoint, t)
}
