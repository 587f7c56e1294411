package app

import (
	"context"
	"time"

	"sallyport/internal/fault"
)

// How long a background loop that ended in a panic waits until it begins again: the first time, and at most.
const (
	firstRestart = time.Second
	lastRestart  = time.Minute
)

// background runs a loop until it returns. One that ends in a panic is counted and logged, and begins again: without it the
// gate would go on with what it knows, as if nothing had been revoked, rotated or changed. To end the process instead would break off
// every workflow because of one malformed row, and at the next start again.
func (a *App) background(ctx context.Context, name string, loop func(context.Context)) {
	keepRunning(ctx, loop, func(why *fault.Panic) { a.broke(name, why) })
}

// broke counts and logs a panic outside of any request.
func (a *App) broke(name string, why *fault.Panic) {
	if !why.Tell() {
		return
	}
	a.metrics.Panicked()
	a.log.Error("a background task ended in a panic: this is a mistake in Sallyport", "task", name, "what", why.What, "stack", why.Stack)
}

// guarded is run, of which a panic is an error: a listener that nobody accepts from any more ends the process with a clear one.
func guarded(run func() error) (err error) {
	defer fault.Recover("serving", &err)
	return run()
}

func keepRunning(ctx context.Context, loop func(context.Context), broke func(*fault.Panic)) {
	for pause := firstRestart; ; pause = min(2*pause, lastRestart) {
		why := attempt(ctx, loop)
		if why == nil {
			return
		}
		broke(why)
		if !wait(ctx, pause) {
			return
		}
	}
}

// wait is a sleep that ends early with ctx, and then returns false.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// attempt runs loop with a context of its own, so that what it began ends with it.
func attempt(ctx context.Context, loop func(context.Context)) (why *fault.Panic) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer func() {
		if v := recover(); v != nil {
			why = fault.Panicked("running a background task", v)
		}
	}()
	loop(ctx)
	return nil
}
