package fleet_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
)

// TestSuperseded: a failed restart for an older change does not hold up the restart for a newer one, which begins with
// the unit that was left half-done, and whose way back is to before the first of them.
func TestSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.world.Break("webhook", true)
		if err := b.roller.Restart(t.Context(), "version 4"); err == nil {
			t.Fatal("a unit that the orchestrator gives up is no failure")
		}
		failed, _ := b.roller.Journal.Load(t.Context(), "prod")
		if err := b.roller.Restart(t.Context(), "version 5"); err == nil {
			t.Fatal("a unit that the orchestrator gives up is no failure")
		}
		r, err := b.roller.Journal.Load(t.Context(), "prod")
		want := []string{"webhook settling", "worker waiting", "main waiting"}
		if diff := cmp.Diff(want, phases(r)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if s := r.Supersedes; s == nil || s.ID != failed.ID || s.Reason != "version 4" || s.Status != fleet.Broken ||
			s.Error == "" {
			t.Errorf("the record says of the restart before: %+v", s)
		}
		if got := strings.Join(b.events, "\n"); !strings.Contains(got, `supersedes the restart for "version 4"`) {
			t.Errorf("nothing tells of it: %s", got)
		}
		b.world.Mend("webhook")
		if _, err := b.roller.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCalls(t, b.world, "restart worker", "restart webhook", "restart webhook", "revert worker", "revert webhook")
		for _, name := range []string{"worker", "webhook"} {
			if u, err := b.world.Look(t.Context(), name); err != nil || u.Revision != "1" {
				t.Errorf("%s is back at revision %s, %v; want that of before the first restart", name, u.Revision, err)
			}
		}
		if err := b.roller.Restart(t.Context(), "version 6"); err != nil {
			t.Fatal(err)
		}
		if r, err := b.roller.Journal.Load(t.Context(), "prod"); err != nil || r.Supersedes != nil {
			t.Errorf("a restart after one that has ended supersedes %+v, %v", r.Supersedes, err)
		}
	})
}

// TestNotSuperseded: what a person has begun or paused, and what ended at a proof, is nobody else's to go on with.
func TestNotSuperseded(t *testing.T) {
	for name, leave := range map[string]func(*testing.T, *bed){
		"begun by a person": func(t *testing.T, b *bed) {
			t.Helper()
			b.world.Break("webhook", true)
			_, err := b.roller.Begin(t.Context(), fleet.Plan{Reason: "by hand"})
			wantErr(t, err, fault.ExitError, "webhook")
		},
		"paused by a person": func(t *testing.T, b *bed) {
			t.Helper()
			b.world.Break("webhook", true)
			wantErr(t, b.roller.Restart(t.Context(), "version 4"), fault.ExitError, "webhook")
			if _, err := b.roller.Stop(t.Context(), fleet.Pause); err != nil {
				t.Fatal(err)
			}
			wantErr(t, b.roller.Restart(t.Context(), "version 4"), fault.ExitLocked, "paused", "--resume")
		},
		"ended at a proof": func(t *testing.T, b *bed) {
			t.Helper()
			b.roller.Prover = proverFunc(func(context.Context, fleet.Unit) error {
				return errors.New("it has another key")
			})
			wantErr(t, b.roller.Restart(t.Context(), "version 4"), fault.ExitError, "proving")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				leave(t, b)
				done := b.world.Calls()
				err := b.roller.Restart(t.Context(), "version 5")
				wantErr(t, err, fault.ExitLocked, "not finished", "--resume", "abort")
				wantCalls(t, b.world, done...)
			})
		})
	}
}

// TestWaitsForADeployment: a unit that changes when a change is to be taken is waited for, and not longer than a unit
// may take; a person who ends the wait ends it.
func TestWaitsForADeployment(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		ask   fleet.Request
		exit  fault.Exit
		err   string
	}{
		"that ends":            {takes: 5 * time.Minute},
		"that does not end":    {takes: time.Hour, exit: fault.ExitError, err: "main is changing"},
		"until it is aborted":  {takes: time.Hour, ask: fleet.Abort, exit: fault.ExitInterrupted, err: "was begun"},
		"until it is put off":  {takes: time.Hour, ask: fleet.Pause, exit: fault.ExitInterrupted, err: "was begun"},
		"and is gone for good": {takes: -1, exit: fault.ExitError, err: "main is failed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				usual := b.world.Takes
				b.world.Takes = c.takes
				if c.takes < 0 {
					b.world.Break("main", true)
				}
				if err := b.world.Restart(t.Context(), "main", 0); err != nil {
					t.Fatal(err)
				}
				b.world.Takes = usual
				if c.ask != fleet.NoRequest {
					time.AfterFunc(time.Minute, func() {
						if working, err := b.roller.Stop(t.Context(), c.ask); err != nil || !working {
							t.Errorf("asking: %v, %v", working, err)
						}
					})
				}
				err := b.roller.Restart(t.Context(), "version 4")
				if c.err != "" {
					wantErr(t, err, c.exit, c.err)
					wantCalls(t, b.world, "restart main")
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				wantCalls(t, b.world, "restart main", "restart worker", "restart webhook", "restart main")
				if got := strings.Join(b.events, "\n"); !strings.Contains(got, "anything is done: main is changing") {
					t.Errorf("nothing tells what is waited for: %s", got)
				}
			})
		})
	}
}
