package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
)

func standing(t *testing.T, b *bed) (all []fleet.Standing) {
	t.Helper()
	units, err := b.roller.Whole(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		all = append(all, fleet.Standing{Unit: u.Name, Want: u.Want})
	}
	return all
}

// TestStandstill: units end in their order and come back in the reverse one, with as many nodes as before, healthy and
// proved; what stood still before is left so; and whoever repeats it does nothing twice.
func TestStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		if err := b.world.Stop(t.Context(), "webhook", 0); err != nil {
			t.Fatal(err)
		}
		var proved []string
		b.roller.Prover = proverFunc(func(_ context.Context, u fleet.Unit) error {
			proved = append(proved, u.Name)
			return nil
		})
		units := standing(t, b)
		want := []fleet.Standing{{Unit: "worker", Want: 2}, {Unit: "webhook"}, {Unit: "main", Want: 2}}
		if diff := cmp.Diff(want, units); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		for range 2 {
			if err := b.roller.Halt(t.Context(), units); err != nil {
				t.Fatal(err)
			}
		}
		wantCalls(t, b.world, "stop webhook", "stop worker", "stop main")
		for range 2 {
			if err := b.roller.Raise(t.Context(), units); err != nil {
				t.Fatal(err)
			}
		}
		wantCalls(t, b.world, "stop webhook", "stop worker", "stop main", "start main", "start worker")
		if diff := cmp.Diff([]string{"main", "worker", "main", "worker"}, proved); diff != "" {
			t.Errorf("proved (-want +got):\n%s", diff)
		}
	})
}

// TestStandstillOutlastsAnAbsence: an orchestrator that is away for a while is waited for, and a node that stays is
// told.
func TestStandstillOutlastsAnAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		units, away := standing(t, b), map[string]int{}
		b.world.Before = func(call, unit string) error {
			if away[call+unit]++; call != "list" && away[call+unit] <= 3 {
				return errAway
			}
			return nil
		}
		if err := errors.Join(b.roller.Halt(t.Context(), units), b.roller.Raise(t.Context(), units)); err != nil {
			t.Fatal(err)
		}
		b.world.Before = func(call, _ string) error {
			if call == "stop" {
				return fault.WithHint(fmt.Errorf("%w: a policy", fleet.ErrNotAllowed), "allow it")
			}
			return nil
		}
		err := b.roller.Halt(t.Context(), units)
		wantErr(t, err, fault.ExitError, `stopping unit "worker"`, "a policy")
		b.world.Before = nil
		b.world.Break("main", false)
		if err := b.roller.Halt(t.Context(), units); err != nil {
			t.Fatal(err)
		}
		err = b.roller.Raise(t.Context(), units)
		wantErr(t, err, fault.ExitError, `starting unit "main"`, "not healthy after 10m")
		wantNoStart(t, b, "worker")
	})
}

// wantNoStart: the unit still stands still.
func wantNoStart(t *testing.T, b *bed, unit string) {
	t.Helper()
	if u, err := b.world.Look(t.Context(), unit); err != nil || u.State != fleet.Stopped {
		t.Errorf("%s is %s, %v: it was started after main had failed", unit, u.State, err)
	}
}

// TestHold: one process at a time, and no unfinished restart beneath.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		release, err := b.roller.Hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.roller.Begin(t.Context(), fleet.Plan{})
		wantErr(t, err, fault.ExitLocked, "another process restarts this fleet")
		_, err = b.roller.Hold(t.Context())
		wantErr(t, err, fault.ExitLocked, "another process")
		release()
		b.world.Break("worker", true)
		if _, err := b.roller.Begin(t.Context(), fleet.Plan{}); err == nil {
			t.Fatal("a broken unit was restarted well")
		}
		_, err = b.roller.Hold(t.Context())
		wantErr(t, err, fault.ExitLocked, "not finished", "fleet abort prod")
		_, err = b.roller.Whole(t.Context())
		wantErr(t, err, fault.ExitError, "not healthy before anything was done")
	})
}
