package app

import (
	"context"
	"errors"
	"net"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

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
