package app_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/fault"
)

// TestLoopRestarts: a background loop that panics begins again, later each time, and ends with its context.
func TestLoopRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		begun := time.Now()
		var at []time.Duration
		var inner context.Context
		told := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			app.KeepRunning(ctx, func(ctx context.Context) {
				if inner != nil && inner.Err() == nil {
					t.Error("what the loop had begun goes on beside the next one")
				}
				inner = ctx
				at = append(at, time.Since(begun))
				if len(at) < 4 {
					panic("a bug")
				}
				<-ctx.Done()
			}, func(*fault.Panic) { told++ })
		}()
		time.Sleep(time.Hour) // of synctest's clock
		synctest.Wait()
		if want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}; len(at) != 4 || at[1] != want[1] || at[2] != want[2] || at[3] != want[3] || told != 3 {
			t.Errorf("begun at %v, told %d times; want %v", at, told, want)
		}
		stop()
		<-done
	})
}

// TestLoopEnds: a loop that is through does not begin again, and one that panics does not when its context has ended.
func TestLoopEnds(t *testing.T) {
	ended, stop := context.WithCancel(t.Context())
	stop()
	for name, c := range map[string]struct {
		ctx  context.Context //nolint:containedctx // a case of the table
		loop func(context.Context)
		told int
	}{
		"through":  {t.Context(), func(context.Context) {}, 0},
		"panicked": {ended, func(context.Context) { panic("a bug") }, 1},
	} {
		runs, told := 0, 0
		app.KeepRunning(c.ctx, func(ctx context.Context) { runs++; c.loop(ctx) }, func(*fault.Panic) { told++ })
		if runs != 1 || told != c.told {
			t.Errorf("%s: got %d runs, told %d times", name, runs, told)
		}
	}
}
