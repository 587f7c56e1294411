package app

import (
	"context"
	"errors"
	"net"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// Stop drains and tears down, within the drain time in all: new requests are answered with draining until those in
// flight are through. What has not ended shortly before the time is over is broken off, which is on record as
// Sallyport's doing; the rest of the time is for the last records and the teardown. Nothing acknowledged is lost. It
// may be called any number of times, and whatever New and Start came to: there is one end, and every call returns when
// it is reached, with its error.
func (a *App) Stop(ctx context.Context) error {
	a.stopped.once.Do(func() {
		if a.gateway != nil { // or else New has failed, and closed what there was
			a.stopped.err = a.end(ctx)
		}
	})
	return a.stopped.err
}

func (a *App) end(ctx context.Context) error {
	end := time.Now().Add(a.o.Config.Drain)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	return errors.Join(a.endRequests(ctx, end), a.closers.close(ctx))
}

// endRequests lets requests come to their end, breaks off what does not, and shuts the gateway.
func (a *App) endRequests(ctx context.Context, end time.Time) error {
	tail := min(a.o.Config.Drain/3, teardown)
	a.pipeline.Drain()
	a.drain(ctx, end.Add(-tail))
	if n := a.pipeline.InFlight(); n > 0 {
		a.log.WarnContext(ctx, "breaking off requests that did not end within the drain time", "in_flight", n)
		why := fault.New(fault.Draining,
			"this Sallyport is stopping, and the request did not end within its drain time")
		a.pipeline.EndAll(why)
		a.gateway.BreakOff(why) // also what has no credential yet, such as a wait for a token
	}
	a.pipeline.CloseUpgraded()
	a.endBackground()
	a.drain(ctx, end.Add(-tail*2/3)) // what was broken off still writes its record
	last, done := context.WithDeadline(ctx, end.Add(-tail/3))
	err := a.gateway.Shutdown(last)
	done()
	if errors.Is(err, context.DeadlineExceeded) { // a caller does not take its answer, or has not sent its head
		err = a.gateway.Close()
		a.drain(ctx, end.Add(-tail/4))
	}
	return err
}

// teardown is the most of the drain time that is kept for the end.
const teardown = 3 * time.Second

// drain waits until nothing is in flight. The listener stays open meanwhile, so that callers get an answer and not a
// refused connection.
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

// closeBackground ends what works beside requests. What still works when its share of the time is over, such as a call
// to a token endpoint, is left to end with the process, which it survives like any other crash.
func (a *App) closeBackground(ctx context.Context) error {
	a.endBackground()
	if !a.within(ctx, 2, func() { a.abandon(); a.running.Wait() }) {
		a.log.WarnContext(ctx, "stopping without waiting for what still works in the background")
	}
	return nil
}

func (a *App) endBackground() {
	if a.stop != nil {
		a.stop()
	}
}

func (a *App) closeServices(context.Context) error {
	for _, s := range a.pipeline.Services().All() {
		s.Close()
	}
	return nil
}

// closeState is left to itself when ctx ends, like closeBackground.
func (a *App) closeState(ctx context.Context) (err error) {
	var closing error
	if a.within(ctx, 1, func() {
		if a.uses != nil {
			closing = a.uses.Flush(ctx) // requests that were ended last are counted, too
		}
		closing = errors.Join(closing, a.state.Close())
	}) {
		err = closing
	}
	return err
}

// closeListener closes one, unless its server has.
func closeListener(l net.Listener) func(context.Context) error {
	return func(context.Context) error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// within calls wait, and reports false when it took longer than a share (one part of so many) of what is left until ctx
// ends. What it waits for goes on then.
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
