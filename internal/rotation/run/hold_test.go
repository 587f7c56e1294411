package run_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
)

// restarting is a fleet that takes its time.
type restarting func(ctx context.Context, target string) error

func (r restarting) Restart(ctx context.Context, target string) error { return r(ctx, target) }

// beats is a ticker that a test drives: when a beat is taken, the one before it was dealt with.
type beats chan time.Time

func (b beats) of(time.Duration) (tick <-chan time.Time, stop func()) { return b, func() {} }

// slowly is the plan of w with a restart, and an engine whose lease is renewed when b ticks.
func slowly(w *world, b beats, restart restarting) (*run.Engine, *run.Plan) {
	g, p := w.engine("one"), w.plan()
	g.Beat, p.Restart, p.Fleet = b.of, []string{"n8n"}, restart
	return g, p
}

// TestLongStep: however long a step takes, nobody else begins it.
func TestLongStep(t *testing.T) {
	onBoth(t, func(t *testing.T, p *place) {
		w, tick := newWorld(t, p, "crm", minting), make(beats)
		restarts := 0
		g, slow := slowly(w, tick, func(ctx context.Context, _ string) error {
			restarts++
			for range 20 {
				w.pass(4 * time.Minute)
				tick <- time.Time{}
				tick <- time.Time{}
				_, err := w.engine("two").Resume(ctx, w.plan())
				if !errors.Is(err, run.ErrRunning) || fault.ExitOf(err) != fault.ExitLocked {
					t.Errorf("another process got %v", err)
				}
			}
			return ctx.Err()
		})
		e, err := g.Rotate(t.Context(), slow, run.Request{})
		if err != nil || e.Step != run.StepRetire || restarts != 1 {
			t.Errorf("got %s at %s (%v), %d restarts", e.State, e.Step, err, restarts)
		}
		if e := w.end(100); e.State != run.StateDone {
			t.Errorf("it ended as %s", e.State)
		}
		w.whole(0)
	})
}

// TestOvertakenInAStep: a step whose run another process has taken over is ended, and what it did is the other's.
func TestOvertakenInAStep(t *testing.T) {
	onBoth(t, func(t *testing.T, p *place) {
		w, tick := newWorld(t, p, "crm", minting), make(beats)
		var cause error
		g, slow := slowly(w, tick, func(ctx context.Context, _ string) error {
			w.pass(time.Hour) // it hung
			if e, err := w.engine("two").Resume(t.Context(), w.plan()); err != nil || e.Step != run.StepRetire {
				t.Errorf("the other one: %s at %s (%v)", e.State, e.Step, err)
			}
			tick <- time.Time{}
			<-ctx.Done()
			cause = context.Cause(ctx)
			return ctx.Err()
		})
		_, err := g.Rotate(t.Context(), slow, run.Request{})
		if !errors.Is(err, run.ErrTaken) || !errors.Is(cause, run.ErrTaken) || fault.ExitOf(err) != fault.ExitLocked {
			t.Errorf("got %v, the step's end was %v", err, cause)
		}
		if e := w.last(); e.State != run.StateWaiting || e.LastError != "" {
			t.Errorf("the run of the other one is %s, with the error %q", e.State, e.LastError)
		}
		w.end(100)
		w.whole(0)
	})
}

// TestLeaseLapses: a process that cannot reach the database ends its step before another one may begin; it takes
// nothing back, whatever the step was, and the run goes on.
func TestLeaseLapses(t *testing.T) {
	onBoth(t, func(t *testing.T, p *place) {
		for _, step := range []run.Step{run.StepTest, run.StepRestart} {
			w, tick := newWorld(t, p, "crm-"+string(step), minting), make(beats)
			cut := *p
			cut.open(t)
			hang := func(ctx context.Context) error {
				_ = cut.db.Close()
				for range 4 {
					w.pass(time.Minute)
					tick <- time.Time{}
				}
				<-ctx.Done()
				return ctx.Err()
			}
			g, slow := slowly(w, tick, func(ctx context.Context, _ string) error { return hang(ctx) })
			g.Journal = run.NewJournal(cut.db, cut.sealer, run.NewLedger(cut.sealer), w.clock)
			if step == run.StepTest {
				slow.Gate = hanging{gate{w}, hang}
			}
			began := w.clock()
			_, err := g.Rotate(t.Context(), slow, run.Request{})
			if err == nil || !strings.Contains(err.Error(), "lease") || w.clock().Sub(began) >= 5*time.Minute {
				t.Errorf("%s: got %v after %s", step, err, w.clock().Sub(began))
			}
			if e := w.last(); e.Step != step || e.Ended() {
				t.Errorf("it is %s at %s, want it to stand at %s", e.State, e.Step, step)
			}
			if e := w.end(100); e.State != run.StateDone {
				t.Errorf("%s: it ended as %s", step, e.State)
			}
			w.whole(0)
		}
	})
}

// hanging are replicas whose test does not end.
type hanging struct {
	gate

	hang func(ctx context.Context) error
}

func (h hanging) Test(ctx context.Context, _ string, _ secret.Value) ([]run.Verdict, error) {
	return nil, h.hang(ctx)
}
