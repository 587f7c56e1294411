package fleet_test

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
)

func TestWorld(t *testing.T) {
	var w *fleettest.World
	fleettest.Run(t, fleettest.Subject{
		Open: func(*testing.T) fleet.Orchestrator {
			w = fleettest.NewWorld("worker", "webhook", "main")
			return w
		},
		Unreachable: func(*testing.T) fleet.Orchestrator {
			away := fleettest.NewWorld("n8n")
			away.Before = func(string, string) error { return errAway }
			return away
		},
		Break:  func(_ *testing.T, unit string) { w.Break(unit, false) },
		Remove: func(_ *testing.T, unit string) { w.Remove(unit) },
	})
}

var errAway = fault.WithHint(fmt.Errorf("%w: connection refused", fleet.ErrUnreachable), "start it")

var names = []string{"worker", "webhook", "main"}

// bed is a world with a journal in a folder.
type bed struct {
	world  *fleettest.World
	roller *fleet.Roller
	events []string
}

func newBed(t *testing.T, change ...func(*bed)) *bed {
	t.Helper()
	b := &bed{world: fleettest.NewWorld(names...)}
	b.world.Takes = 20 * time.Second
	b.roller = &fleet.Roller{Fleet: "prod", Orchestrator: b.world, Journal: openFiles(t, t.TempDir())}
	b.roller.Tell = func(e fleet.Event) { b.events = append(b.events, e.Unit+": "+e.Text) }
	for _, c := range change {
		c(b)
	}
	return b
}

func openFiles(t *testing.T, dir string) *fleet.Files {
	t.Helper()
	f, err := fleet.OpenFiles(dir + "/fleet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func phases(r fleet.Record) (out []string) {
	for _, s := range r.Steps {
		out = append(out, s.Unit+" "+string(s.Phase))
	}
	return out
}

func wantCalls(t *testing.T, w *fleettest.World, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.Calls()); diff != "" {
		t.Errorf("what was done (-want +got):\n%s", diff)
	}
}

func wantErr(t *testing.T, err error, exit fault.Exit, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error() + "\n" + fault.HintOf(err)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the error does not say %q: %s", part, text)
		}
	}
	if fault.HintOf(err) == "" || fault.ExitOf(err) != exit {
		t.Errorf("got hint %q and exit code %d, want a hint and %d", fault.HintOf(err), fault.ExitOf(err), exit)
	}
}

// TestOneAfterAnother: a unit is begun only when the one before is healthy, for a while, and proved.
func TestOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		proved := []string{}
		b.world.Before = func(call, unit string) error {
			if call != "restart" {
				return nil
			}
			i := slices.Index(names, unit)
			for _, before := range names[:i] {
				u, err := b.world.Look(t.Context(), before)
				if err != nil || u.State != fleet.Ready || !slices.Contains(proved, before) {
					t.Errorf("%s is begun while %s is %s (%v)", unit, before, u.State, err)
				}
			}
			return nil
		}
		b.roller.Prover = proverFunc(func(_ context.Context, u fleet.Unit) error {
			if u.State != fleet.Ready {
				t.Errorf("%s is proved while it is %s", u.Name, u.State)
			}
			proved = append(proved, u.Name)
			return nil
		})
		began := time.Now()
		r, err := b.roller.Begin(t.Context(), fleet.Plan{Reason: "a test"})
		if err != nil {
			t.Fatal(err)
		}
		wantCalls(t, b.world, "restart worker", "restart webhook", "restart main")
		if r.Status != fleet.Complete || len(proved) != 3 {
			t.Errorf("got status %s, %d proved", r.Status, len(proved))
		}
		if took := time.Since(began); took < 3*(20+10)*time.Second {
			t.Errorf("it took %v, which leaves no time to settle", took)
		}
	})
}

type proverFunc func(context.Context, fleet.Unit) error

func (p proverFunc) Prove(ctx context.Context, u fleet.Unit) error { return p(ctx, u) }

// TestKilled ends the process at every moment at which something is on record or done, goes on in another one, and
// wants each unit restarted once.
func TestKilled(t *testing.T) {
	for at := 1; ; at++ {
		ended := false
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			b := newBed(t)
			killed := &killer{left: at}
			b.roller.Journal = &dying{openFiles(t, dir), killed}
			b.world.Before, b.world.After = killed.call, killed.call
			_, err := b.roller.Begin(t.Context(), fleet.Plan{Reason: "a test"})
			ended = err == nil
			if !ended && !killed.dead {
				t.Fatalf("moment %d: %v", at, err)
			}
			b.world.Before, b.world.After = nil, nil
			second := &fleet.Roller{Fleet: "prod", Orchestrator: b.world, Journal: openFiles(t, dir)}
			if err := second.Restart(t.Context(), "a test"); err != nil && !ended {
				t.Fatalf("moment %d: going on: %v", at, err)
			}
			for _, name := range names {
				if n := b.world.Restarts(name); n != 1 && !ended {
					t.Errorf("moment %d: %s was restarted %d times", at, name, n)
				}
			}
			r, err := second.Journal.Load(t.Context(), "prod")
			if err != nil || r.Status != fleet.Complete {
				t.Errorf("moment %d: the record is %s, %v", at, r.Status, err)
			}
		})
		if ended {
			if at < 20 {
				t.Errorf("only %d moments were tried", at)
			}
			return
		}
	}
}

// killer ends a process, which does nothing more, at one moment of many.
type killer struct {
	left int
	dead bool
}

var errKilled = errors.New("killed")

func (k *killer) moment() error {
	if k.left--; k.left <= 0 {
		k.dead = true
		return errKilled
	}
	return nil
}

func (k *killer) call(call, _ string) error {
	if k.dead {
		return errKilled
	}
	if call == "look" {
		return nil // it changes nothing, and there are hundreds
	}
	return k.moment()
}

// dying is a journal of a process that is killed before or after it has saved.
type dying struct {
	*fleet.Files

	*killer
}

func (d *dying) Save(ctx context.Context, r fleet.Record) error {
	if err := d.moment(); err != nil {
		return err
	}
	if err := d.Files.Save(ctx, r); err != nil {
		return err
	}
	return d.moment()
}

// TestAway: an orchestrator that is away for a while costs time and nothing else; one that stays away ends the restart
// with a state that says so.
func TestAway(t *testing.T) {
	t.Run("for a while", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			lost := 0
			b.world.After = func(call, _ string) error { // the effect is there, the answer is not
				if call == "restart" {
					lost++
					return errAway
				}
				return nil
			}
			looks := 0
			b.world.Before = func(call, _ string) error {
				if looks++; call == "look" && looks%3 != 0 {
					return errAway
				}
				return nil
			}
			if _, err := b.roller.Begin(t.Context(), fleet.Plan{}); err != nil {
				t.Fatal(err)
			}
			wantCalls(t, b.world, "restart worker", "restart webhook", "restart main")
			if lost != 3 {
				t.Errorf("%d answers were lost, want 3", lost)
			}
		})
	})
	t.Run("for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			away := false
			b.world.After = func(call, unit string) error {
				away = away || call == "restart" && unit == "webhook"
				return nil
			}
			b.world.Before = func(string, string) error {
				if away {
					return errAway
				}
				return nil
			}
			r, err := b.roller.Begin(t.Context(), fleet.Plan{})
			wantErr(t, err, fault.ExitStore, "webhook", "10m0s", "start it", "--resume")
			if diff := cmp.Diff([]string{"worker done", "webhook settling", "main waiting"},
				phases(r)); r.Status != fleet.Broken || diff != "" {
				t.Errorf("got status %s and (-want +got):\n%s", r.Status, diff)
			}
			away, b.world.After = false, nil
			if r, err = b.roller.Resume(t.Context()); err != nil || r.Status != fleet.Complete {
				t.Fatalf("going on: %s, %v", r.Status, err)
			}
			wantCalls(t, b.world, "restart worker", "restart webhook", "restart main")
		})
	})
}

// TestNeverHealthy: the units after one that does not become healthy are not touched.
func TestNeverHealthy(t *testing.T) {
	for _, failed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			b.world.Break("webhook", failed)
			r, err := b.roller.Begin(t.Context(), fleet.Plan{})
			want := "not healthy after 10m0s"
			if failed {
				want = "its nodes end at once"
			}
			wantErr(t, err, fault.ExitError, `unit "webhook"`, want, "--rollback")
			if r.Status != fleet.Broken || r.Error == "" || b.world.Restarts("main") != 0 {
				t.Errorf("got %+v", r)
			}
			_, err = b.roller.Begin(t.Context(), fleet.Plan{})
			wantErr(t, err, fault.ExitLocked, "not finished", "--resume", "abort")

			b.world.Mend("webhook")
			if r, err = b.roller.Rollback(t.Context()); err != nil || r.Status != fleet.Complete {
				t.Fatalf("rolling back: %s, %v", r.Status, err)
			}
			wantCalls(t, b.world, "restart worker", "restart webhook", "revert webhook", "revert worker")
		})
	}
}

// TestVanished: a unit that is gone half-way is an error that says how to go on without it.
func TestVanished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.world.After = func(call, unit string) error {
			if call == "restart" && unit == "worker" {
				b.world.Remove("webhook")
			}
			return nil
		}
		_, err := b.roller.Begin(t.Context(), fleet.Plan{})
		wantErr(t, err, fault.ExitError, `unit "webhook"`, "no such unit", "--skip")
		r, err := b.roller.Resume(t.Context(), "webhook")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"worker done", "webhook skipped", "main done"}, phases(r)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

type busyFunc func() (int, error)

func (b busyFunc) Running(context.Context) (int, error) { return b() }

// TestDrain: running executions are waited for, and not longer than is allowed.
func TestDrain(t *testing.T) {
	for name, c := range map[string]struct {
		running func(since time.Duration) (int, error)
		must    bool
		least   time.Duration // of the whole restart
		event   string
		err     string
	}{
		"ends": {func(d time.Duration) (int, error) {
			return map[bool]int{true: 2}[d < time.Minute], nil
		}, true, time.Minute + 90*time.Second, "waiting for 2 running executions", ""},
		"goes on": {func(time.Duration) (int, error) {
			return 1, nil
		}, false, 3 * 5 * time.Minute, "1 executions still run: they have 30s to end", ""},
		"must end": {func(time.Duration) (int, error) {
			return 1, nil
		}, true, 5 * time.Minute, "", "1 executions still run after 5m0s"},
		"does not say": {func(time.Duration) (int, error) {
			return 0, errAway
		}, false, 15 * time.Minute, "does not tell", ""},
		"must say": {func(time.Duration) (int, error) {
			return 0, errAway
		}, true, 5 * time.Minute, "asking again for 5m0s: ", "draining it"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, began := newBed(t), time.Now()
				b.roller.Busy = busyFunc(func() (int, error) { return c.running(time.Since(began)) })
				b.roller.Limits.MustDrain = c.must
				_, err := b.roller.Begin(t.Context(), fleet.Plan{})
				switch {
				case c.err == "" && err != nil:
					t.Fatal(err)
				case c.err != "":
					wantErr(t, err, fault.ExitOf(err), c.err)
					wantCalls(t, b.world)
				}
				if took := time.Since(began); took < c.least {
					t.Errorf("it took %v, want %v or more", took, c.least)
				}
				if !strings.Contains(strings.Join(b.events, "\n"), c.event) {
					t.Errorf("nothing tells %q: %q", c.event, b.events)
				}
			})
		})
	}
}

// TestRequests: a pause leaves nothing half-done, an abort does not wait, and both are heeded by whoever works on the
// fleet.
func TestRequests(t *testing.T) {
	for how, want := range map[fleet.Request][]string{
		fleet.Pause: {"worker done", "webhook waiting", "main waiting"},
		fleet.Abort: {"worker settling", "webhook waiting", "main waiting"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			other := &fleet.Roller{Fleet: "prod", Orchestrator: b.world, Journal: b.roller.Journal}
			b.world.After = func(call, _ string) error {
				if call == "restart" {
					if working, err := other.Stop(t.Context(), how); err != nil || !working {
						t.Errorf("asking: %v, %v", working, err)
					}
					_, err := other.Begin(t.Context(), fleet.Plan{})
					wantErr(t, err, fault.ExitLocked, "another process")
				}
				return nil
			}
			r, err := b.roller.Begin(t.Context(), fleet.Plan{})
			wantErr(t, err, fault.ExitInterrupted)
			if diff := cmp.Diff(want, phases(r)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", how, diff)
			}
			b.world.After = nil
			time.Sleep(b.world.Takes) // of the bubble's clock
			if how == fleet.Pause {
				if r, err = other.Resume(t.Context()); err != nil || r.Status != fleet.Complete {
					t.Errorf("going on: %s, %v", r.Status, err)
				}
				wantCalls(t, b.world, "restart worker", "restart webhook", "restart main")
				return
			}
			if _, err := other.Begin(t.Context(), fleet.Plan{}); err != nil {
				t.Errorf("a new one after an abort: %v", err)
			}
		})
	}
}

// TestStopOfADeadProcess: what nobody works on is stopped at once.
func TestStopOfADeadProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.world.Break("worker", true)
		if _, err := b.roller.Begin(t.Context(), fleet.Plan{}); err == nil {
			t.Fatal("no error")
		}
		if working, err := b.roller.Stop(t.Context(), fleet.Abort); working || err != nil {
			t.Fatalf("got %v, %v", working, err)
		}
		r, err := b.roller.Journal.Load(t.Context(), "prod")
		if err != nil || r.Status != fleet.Aborted {
			t.Errorf("the record is %s, %v", r.Status, err)
		}
		_, err = b.roller.Stop(t.Context(), fleet.Abort)
		wantErr(t, err, fault.ExitError, "no unfinished restart")
		_, err = b.roller.Resume(t.Context())
		wantErr(t, err, fault.ExitError, "no unfinished restart")
	})
}

// TestNotWholeBefore: a fleet that is not healthy is left alone, unless someone insists.
func TestNotWholeBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		if err := b.world.Restart(t.Context(), "main", 0); err != nil {
			t.Fatal(err)
		}
		_, err := b.roller.Begin(t.Context(), fleet.Plan{})
		wantErr(t, err, fault.ExitError, "main is changing", "--force")
		if _, err := b.roller.Begin(t.Context(),
			fleet.Plan{Force: true, Units: []string{"main", "worker"}}); err != nil {
			t.Fatal(err)
		}
		wantCalls(t, b.world, "restart main", "restart main", "restart worker")
		_, err = b.roller.Begin(t.Context(), fleet.Plan{Units: []string{"mian"}})
		wantErr(t, err, fault.ExitUsage, "mian", "main")
	})
}

// TestNotProved: the prover's error and exit code are the restart's, and going on proves again without a restart.
func TestNotProved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		wrong := true
		b.roller.Prover = proverFunc(func(_ context.Context, u fleet.Unit) error {
			if wrong && u.Name == "webhook" {
				return fault.WithExit(fault.WithHint(errors.New("it has another key"), "give it the fleet's key"),
					fault.ExitKeyMismatch)
			}
			return nil
		})
		r, err := b.roller.Begin(t.Context(), fleet.Plan{})
		wantErr(t, err, fault.ExitKeyMismatch, "another key", "give it", "--resume")
		if diff := cmp.Diff([]string{"worker done", "webhook proving", "main waiting"}, phases(r)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		wrong = false
		if _, err := b.roller.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantCalls(t, b.world, "restart worker", "restart webhook", "restart main")
	})
}

// TestFlapping: a unit that is ready now and then is not healthy.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.roller.Health = healthFunc(func() error {
			if time.Now().Unix()%7 == 0 {
				return errors.New("/healthz/readiness answers 503")
			}
			return nil
		})
		_, err := b.roller.Begin(t.Context(), fleet.Plan{Units: []string{"worker"}})
		wantErr(t, err, fault.ExitError, "not healthy after")
		if got := strings.Join(b.events, "\n"); !strings.Contains(got, "answers 503") {
			t.Errorf("nothing tells why: %s", got)
		}
	})
}

type healthFunc func() error

func (h healthFunc) Healthy(context.Context, fleet.Unit) error { return h() }

// TestInterrupted: who is ended by a signal says how to go on.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		ctx, end := context.WithCancel(t.Context())
		time.AfterFunc(45*time.Second, end)
		_, err := b.roller.Begin(ctx, fleet.Plan{Reason: "a test"})
		wantErr(t, err, fault.ExitInterrupted, "--resume")
		if err := b.roller.Restart(t.Context(), "another"); err == nil {
			t.Error("another restart was begun over an unfinished one")
		}
		if err := b.roller.Restart(t.Context(), "a test"); err != nil {
			t.Fatal(err)
		}
		wantCalls(t, b.world, "restart worker", "restart webhook", "restart main")
	})
}

// TestGivenUpIsRestartedAgain: where the orchestrator has given a unit up, going on restarts it once more: once what
// kept it from starting is mended, that is enough, and as long as it is not, the restart fails again.
func TestGivenUpIsRestartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.world.Break("webhook", true)
		if _, err := b.roller.Begin(t.Context(), fleet.Plan{}); err == nil {
			t.Fatal("a unit that the orchestrator gives up is no failure")
		}
		_, err := b.roller.Resume(t.Context())
		wantErr(t, err, fault.ExitError, `unit "webhook"`, "failed", "--resume")
		b.world.Mend("webhook")
		r, err := b.roller.Resume(t.Context())
		if err != nil || r.Status != fleet.Complete {
			t.Fatalf("going on: %s, %v", r.Status, err)
		}
		wantCalls(t, b.world, "restart worker", "restart webhook", "restart webhook", "restart webhook", "restart main")
	})
}
