package changeover_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/fleet/fleettest"
	"sallyport/internal/masterkey/changeover"
	"sallyport/internal/masterkey/rekey"
)

// steps are the parts of a change in memory. fail makes a call fail, before or after it has had its effect.
type steps struct {
	world  *fleettest.World
	fresh  bool // the database is under the new key
	stored string
	done   []string
	fail   map[string]error
	late   map[string]error
}

func (s *steps) call(name string, effect func()) error {
	if err := s.fail[name]; err != nil {
		return err
	}
	effect()
	return s.late[name]
}

func (s *steps) did(what string) func() { return func() { s.done = append(s.done, what) } }

func (s *steps) Keys(context.Context, changeover.Stored) error { return s.call("keys", func() {}) }
func (s *steps) Check(context.Context) error                   { return s.call("check", func() {}) }
func (s *steps) Install(context.Context) error                 { return s.call("install", s.did("install")) }

func (s *steps) Store(_ context.Context, at *changeover.Stored, save func() error) error {
	at.Before = "1"
	err := s.call("store", func() {
		if s.stored != "2" {
			s.stored = "2"
			s.done = append(s.done, "store")
		}
	})
	if err != nil {
		return err
	}
	at.Now = s.stored
	return save()
}

func (s *steps) Unstore(context.Context, changeover.Stored) error {
	return s.call("unstore", func() { s.stored = "1"; s.done = append(s.done, "unstore") })
}

func (s *steps) Change(ctx context.Context, still time.Time, _ string) error {
	units, err := s.world.List(ctx)
	for _, u := range units {
		if u.State != fleet.Stopped || still.IsZero() {
			return fmt.Errorf("%s is %s while the database changes", u.Name, u.State)
		}
	}
	return errors.Join(err, s.call("change", func() { s.fresh = true; s.done = append(s.done, "change") }))
}

func (s *steps) Under(context.Context) (u changeover.Under, err error) {
	return changeover.Under{Old: !s.fresh, New: s.fresh}, s.call("under", func() {})
}

func (s *steps) Prove(_ context.Context, u fleet.Unit, fresh bool) error {
	if fresh != s.fresh {
		return fmt.Errorf("%s is asked for the wrong key", u.Name)
	}
	return s.call("prove", func() {})
}

type bed struct {
	steps   *steps
	files   *fleet.Files
	backups int
	hold    bool
	told    []string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	files, err := fleet.OpenFiles(t.TempDir() + "/fleet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	world := fleettest.NewWorld("worker", "main")
	world.Takes = 5 * time.Second
	return &bed{
		files: files,
		steps: &steps{world: world, stored: "1", fail: map[string]error{}, late: map[string]error{}},
	}
}

// change is what another process would make: it knows the journal alone.
func (b *bed) change() *changeover.Change {
	return &changeover.Change{
		Fleet:   &fleet.Roller{Fleet: "prod", Orchestrator: b.steps.world, Journal: b.files},
		Journal: b.files, Steps: b.steps, At: "corp/n8n", Hold: b.hold,
		Backup: func() string { b.backups++; return fmt.Sprintf("backup-%d", b.backups) },
		Tell:   func(format string, args ...any) { b.told = append(b.told, fmt.Sprintf(format, args...)) },
		Record: func(context.Context) error { return b.steps.call("record", func() {}) },
	}
}

func (b *bed) done(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, append(b.steps.world.Calls(), b.steps.done...)); diff != "" {
		t.Errorf("what was done (-want +got):\n%s", diff)
	}
}

// TestChange is the order: nothing is changed before all stands still, and nothing starts before it is.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		r, err := b.change().Run(t.Context())
		if err != nil || r.Phase != changeover.Complete || r.Backup != "backup-1" || r.Store.Now != "2" {
			t.Fatalf("got %+v, %v", r, err)
		}
		b.done(t, "stop worker", "stop main", "start main", "start worker", "store", "change", "install")
		again, err := b.change().Run(t.Context())
		if err != nil || again.ID != r.ID || !slices.Contains(b.told, "it was complete before") {
			t.Errorf("repeated: %+v, %v", again, err)
		}
		if err := b.change().Told(again); err != nil {
			t.Fatal(err)
		}
		if r, err = b.change().Run(t.Context()); err != nil ||
			!slices.Contains(b.told, "the database is under the new key already") {
			t.Errorf("once more: %+v, %v", r, err)
		}
		b.done(t, "stop worker", "stop main", "start main", "start worker", "store", "change", "install")
	})
}

// killed is the end of a process at one of the calls that it makes: the context ends, and nothing more is said.
var errKilled = errors.New("killed")

// TestKilledAnywhere ends a change before and after each call of the world and of the steps, and begins it again in
// another process: everything is done once, and ends well.
func TestKilledAnywhere(t *testing.T) {
	for kill := 1; ; kill++ {
		over := false
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			calls := 0
			dying, die := context.WithCancelCause(t.Context())
			at := func(string, string) error {
				if calls++; calls == kill {
					die(errKilled)
					return context.Canceled
				}
				return nil
			}
			b.steps.world.Before = func(call, unit string) error { return at(call, unit) }
			b.steps.world.After = func(call, unit string) error { return at(call, unit) }
			_, err := b.change().Run(dying)
			over = err == nil
			die(nil)
			b.steps.world.Before, b.steps.world.After = nil, nil
			r, err := b.change().Run(t.Context())
			if err != nil || r.Phase != changeover.Complete && r.Phase != "" {
				t.Fatalf("killed at call %d: %+v, %v", kill, r, err)
			}
			if done := b.steps.done; strings.Count(strings.Join(done, " "), "change") != 1 {
				t.Errorf("killed at call %d: %q", kill, done)
			}
			for _, unit := range []string{"worker", "main"} {
				u, err := b.steps.world.Look(t.Context(), unit)
				if err != nil || u.State != fleet.Ready || u.Want != 2 {
					t.Errorf("killed at call %d, %s is %s: %v", kill, unit, u.State, err)
				}
			}
		})
		if over || t.Failed() {
			if kill < 20 {
				t.Errorf("it was over after %d calls", kill)
			}
			return
		}
	}
}

// TestFailures: a change that fails with the old key in the database brings the nodes back; one whose outcome is not
// known, or that was broken off, does not.
func TestFailures(t *testing.T) {
	someone := fault.WithExit(errors.New("someone is connected"), fault.ExitLocked)
	for name, c := range map[string]struct {
		fail, late map[string]error
		phase      changeover.Phase
		running    bool
		exit       fault.Exit
	}{
		"the store refuses":     {fail: map[string]error{"store": errors.New("denied")}, phase: changeover.Returned, running: true, exit: 1},
		"someone is at work":    {fail: map[string]error{"change": someone}, phase: changeover.Returned, running: true, exit: 11},
		"no answer to a commit": {fail: map[string]error{"change": rekey.ErrUncertain}, phase: changeover.Changing, exit: 1},
		"an error after commit": {late: map[string]error{"change": errors.New("lost")}, phase: changeover.Changing, exit: 1},
		"broken off":            {fail: map[string]error{"change": context.Canceled}, phase: changeover.Changing, exit: 130},
		"a file cannot be made": {fail: map[string]error{"install": errors.New("denied")}, phase: changeover.Installing, exit: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				b.steps.fail, b.steps.late = c.fail, c.late
				r, err := b.change().Run(t.Context())
				if err == nil || fault.ExitOf(err) != c.exit || fault.HintOf(err) == "" || r.Phase != c.phase {
					t.Errorf("got phase %s and %v (exit %d, hint %q)", r.Phase, err, fault.ExitOf(err),
						fault.HintOf(err))
				}
				for _, unit := range []string{"worker", "main"} {
					if u, _ := b.steps.world.Look(t.Context(), unit); (u.State == fleet.Ready) != c.running {
						t.Errorf("%s is %s", unit, u.State)
					}
				}
				if c.running && b.steps.stored != "1" {
					t.Error("the store still has the new key")
				}
				b.steps.fail, b.steps.late = nil, nil
				if r, err = b.change().Run(t.Context()); err != nil || r.Phase != changeover.Complete {
					t.Errorf("once more: %s, %v", r.Phase, err)
				}
				if n := strings.Count(strings.Join(b.steps.done, " "), "change"); n != 1 {
					t.Errorf("the database was changed %d times", n)
				}
			})
		})
	}
}

// TestGiveUp starts the nodes again before the database has changed, and not afterwards.
func TestGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		if _, err := b.change().GiveUp(t.Context()); err == nil {
			t.Error("nothing was given up")
		}
		b.steps.fail["change"] = context.Canceled
		if _, err := b.change().Run(t.Context()); !strings.Contains(fault.HintOf(err), "--give-up") {
			t.Errorf("the hint is %q", fault.HintOf(err))
		}
		if r, err := b.change().GiveUp(t.Context()); err != nil || r.Phase != changeover.Returned {
			t.Fatalf("got %s, %v", r.Phase, err)
		}
		b.done(t, "stop worker", "stop main", "start main", "start worker", "store", "unstore")
		delete(b.steps.fail, "change")
		b.hold = true
		r, err := b.change().Run(t.Context())
		if !errors.Is(err, changeover.ErrHeld) || r.Phase != changeover.Starting {
			t.Fatalf("held: %s, %v", r.Phase, err)
		}
		if _, err := b.change().GiveUp(t.Context()); err == nil || !strings.Contains(fault.HintOf(err), "backup-") {
			t.Errorf("given up after the change: %v", err)
		}
	})
}

// TestReturnIsResumed: a return that was broken off goes on, and ends with why there was one.
func TestReturnIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.steps.fail["change"], b.steps.fail["unstore"] = errors.New("someone is connected"), errors.New("store away")
		r, err := b.change().Run(t.Context())
		if r.Phase != changeover.Returning || err == nil {
			t.Fatalf("got %s, %v", r.Phase, err)
		}
		delete(b.steps.fail, "unstore")
		r, err = b.change().Run(t.Context())
		if r.Phase != changeover.Returned || !errors.Is(err, changeover.ErrReturned) ||
			!strings.Contains(err.Error(), "someone is connected") {
			t.Errorf("got %s, %v", r.Phase, err)
		}
	})
}

// TestBeginTouchesNothing: what is wrong beforehand stops no node.
func TestBeginTouchesNothing(t *testing.T) {
	for _, call := range []string{"keys", "under", "check", "prove", "record"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			b.steps.fail[call] = errors.New("wrong")
			if r, err := b.change().Run(t.Context()); err == nil || r.Unfinished() {
				t.Errorf("%s: %+v, %v", call, r, err)
			}
			if len(b.steps.world.Calls()) > 0 {
				t.Errorf("%s: %q", call, b.steps.world.Calls())
			}
		})
	}
}

// TestStartedMeanwhile: what an autoscaler has started between two attempts is stopped again before the database
// changes.
func TestStartedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.steps.fail["change"] = context.Canceled
		if _, err := b.change().Run(t.Context()); err == nil {
			t.Fatal("nothing was broken off")
		}
		delete(b.steps.fail, "change")
		if err := b.steps.world.Start(t.Context(), "worker", 1); err != nil {
			t.Fatal(err)
		}
		if r, err := b.change().Run(t.Context()); err != nil || r.Phase != changeover.Complete {
			t.Errorf("got %s, %v", r.Phase, err)
		}
		if u, err := b.steps.world.Look(t.Context(), "worker"); err != nil || u.Want != 2 {
			t.Errorf("the worker has %d nodes, %v", u.Want, err)
		}
	})
}

// TestForeignRecord: a record of another fleet, or in a phase that is not known, is not acted by.
func TestForeignRecord(t *testing.T) {
	for _, r := range []changeover.Record{
		{ID: "1", Fleet: "staging", Phase: changeover.Starting, Units: []fleet.Standing{{Unit: "worker", Want: 2}}},
		{ID: "1", Fleet: "prod", Phase: "rewinding", Units: []fleet.Standing{{Unit: "worker", Want: 2}}},
		{ID: "1", Fleet: "prod", Phase: changeover.Changing},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			if err := b.files.SavePart("prod", "rekey", r); err != nil {
				t.Fatal(err)
			}
			for _, do := range []func(context.Context) (changeover.Record, error){b.change().Run, b.change().GiveUp} {
				if _, err := do(t.Context()); err == nil || fault.HintOf(err) == "" {
					t.Errorf("%+v: got %v", r, err)
				}
			}
			if calls := b.steps.world.Calls(); len(calls) > 0 {
				t.Errorf("%+v: %q", r, calls)
			}
		})
	}
}
