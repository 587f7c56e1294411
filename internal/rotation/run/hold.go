package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

const (
	// beat is how often the lease is renewed while a step is done.
	beat = time.Minute
	// missed is how many renewals in a row may fail before the step is ended: those and the time that one takes are
	// shorter than a lease, so that this process stops before another one may begin.
	missed = 4
	// beatPatience bounds a renewal.
	beatPatience = beat / 2
)

// errLapsed is why a step is ended whose lease could not be renewed.
var errLapsed = errors.New("the lease of the run could not be renewed, and another process may take it over")

// hold does a step and keeps others out of the run meanwhile, however long it takes. When another process has taken the
// run over, or may, the step's context ends, and the run is as that process has left it: nothing is taken back.
func (w *work) hold(ctx context.Context, step func(context.Context) (Step, error)) (Step, error) {
	ctx, lose := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	var beating guard.Group
	by := holderOf(w.e) // the step changes the entry
	beating.Go("renewing the lease of a rotation", func() {
		lose(w.g.beat(ctx, ended, func(ctx context.Context) error { return w.g.Journal.renew(ctx, by) }))
	})
	defer beating.Wait()
	defer close(ended)
	next, err := step(ctx)
	if cause := context.Cause(ctx); err != nil && (errors.Is(cause, ErrTaken) || errors.Is(cause, ErrForged) ||
		errors.Is(cause, errLapsed)) {
		return "", fmt.Errorf("at step %s: %w", w.e.Step, cause)
	}
	return next, err
}

// beat renews until done is closed, or returns why the step has to end. Time is counted in ticks, and not by a clock,
// which can jump.
func (g *Engine) beat(ctx context.Context, done <-chan struct{}, renew func(context.Context) error) error {
	every := g.Beat
	if every == nil {
		every = func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTicker(d)
			return t.C, t.Stop
		}
	}
	tick, stop := every(beat)
	defer stop()
	for failures := 0; ; {
		select {
		case <-done:
			return nil
		case <-tick:
		}
		err := bounded(ctx, renew)
		switch {
		case err == nil:
			failures = 0
			continue
		case errors.Is(err, ErrTaken), errors.Is(err, ErrForged):
			return err
		}
		if failures++; failures >= missed {
			return fault.WithHint(fmt.Errorf("%w: %w", errLapsed, err),
				"the run goes on by itself, here or at another replica, once the database can be written to")
		}
	}
}

// bounded renews although the work may be ending: until the step has returned, nobody else is to begin.
func bounded(ctx context.Context, renew func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatPatience)
	defer cancel()
	return renew(ctx)
}
