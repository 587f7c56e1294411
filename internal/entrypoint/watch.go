package entrypoint

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"sallyport/internal/guard"
	"sallyport/internal/pause"
)

// The time from one failed attempt to the next: doubled, with a random part, up to the longest.
const (
	firstRetry   = time.Second
	longestRetry = time.Minute
)

// watch sends what the program is to be started again with, each time that something has become different and
// everything can be obtained. Until then the program goes on with what it has.
func (r *runner) watch(ctx context.Context, running *launch, fresh chan<- *launch) {
	dirty := make(chan struct{}, 1)
	changed := func() {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	var listeners guard.Group
	defer listeners.Wait()
	listeners.Go("listening", func() {
		guard.Loop(ctx, "listening to the stores", func(ctx context.Context) { r.listen(ctx, changed) }, r.broke)
	})
	listeners.Go("polling", func() {
		guard.Loop(ctx, "looking at files", func(ctx context.Context) { r.pollFiles(ctx, changed) }, r.broke)
	})
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-dirty:
		}
		if pause.For(ctx, random(r.Splay)) != nil {
			return
		}
		next, err := r.fetch(ctx, func(string, ...any) {})
		if err == nil {
			err = emptied(running, next)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.Note("warning: %s goes on with the values that it has, since not all of the new ones can be obtained: %s",
				r.Argv[0], oneLine(err.Error()))
			failures++
			if pause.For(ctx, backoff(failures)) != nil {
				return
			}
			changed()
			continue
		}
		if failures = 0; slices.Equal(next.environ, running.environ) {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case fresh <- next:
			running = next
		}
	}
}

// emptied refuses what has lost its value: a file that is being written is empty for a moment.
func emptied(running, next *launch) error {
	for i, entry := range next.environ {
		if name, value, _ := strings.Cut(entry, "="); value == "" && i < len(running.environ) &&
			running.environ[i] != entry {
			return fmt.Errorf("the value of %s has become empty", name)
		}
	}
	return nil
}

// listen hears of changes from the stores.
func (r *runner) listen(ctx context.Context, changed func()) {
	refs := r.plan.refs()
	if len(refs) == 0 {
		return
	}
	if err := r.Resolver.Watch(ctx, refs, changed); err != nil && ctx.Err() == nil {
		r.Note("warning: changes of secrets are not heard of any more: %s", oneLine(err.Error()))
	}
}

// pollFiles has the files of NAME_FILE variables looked at now and then; to look is to read them.
func (r *runner) pollFiles(ctx context.Context, changed func()) {
	if len(r.plan.files) == 0 || r.Poll <= 0 {
		return
	}
	tick := time.NewTicker(r.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			changed()
		}
	}
}

// random is a time in [0, d).
func random(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d) //nolint:gosec // spreads restarts, guards nothing
}

func backoff(failures int) time.Duration {
	d := min(firstRetry<<min(failures-1, 10), longestRetry)
	return d/2 + random(d/2)
}
