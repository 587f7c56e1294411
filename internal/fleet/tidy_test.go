package fleet_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"sallyport/internal/fleet"
	"sallyport/internal/fleet/fleettest"
)

// tidying is a world that has something to remove.
type tidying struct {
	*fleettest.World

	err   error
	calls int
}

// Tidy implements fleet.Tidier.
func (t *tidying) Tidy(context.Context) ([]string, error) {
	t.calls++
	return []string{"key_v1"}, t.err
}

// TestTidy: what is left over is removed once all units are done and never else, and what comes of that is told, and
// changes nothing about the restart.
func TestTidy(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		broken bool
		back   bool
		calls  int
		told   string
	}{
		"done":    {nil, false, false, 1, ": removed key_v1, which nothing uses any more"},
		"refused": {errors.New("no"), false, false, 1, ": not all that is left over was removed, the next restart tries again: no"},
		"broken":  {nil, true, false, 0, ""},
		"back":    {nil, false, true, 1, ""}, // by the restart, and not by the way back
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				world := &tidying{World: b.world, err: c.err}
				b.roller.Orchestrator = world
				if c.broken {
					b.world.Break("main", true)
				}
				done, err := b.roller.Begin(t.Context(), fleet.Plan{})
				if c.back {
					done, err = b.roller.Rollback(t.Context())
				}
				if (err != nil) != c.broken || !c.broken && done.Status != fleet.Complete || world.calls != c.calls {
					t.Errorf("got %v, %v after %d calls", done.Status, err, world.calls)
				}
				if c.told != "" && !slices.Contains(b.events, c.told) {
					t.Errorf("it told %q", b.events)
				}
			})
		})
	}
}
