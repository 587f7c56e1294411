package rotation_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/rotation"

	"github.com/google/go-cmp/cmp"
)

// TestCrashAtEveryCall kills the process before and after each call of a rotation in turn, lets it fail there, and then
// lets another process go on: it always ends with the consumer on the new value, which is the current one.
func TestCrashAtEveryCall(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		const calls = 6 // pending, begin, probe, set, probe, finish
		for _, fate := range []mishap{failsBefore, failsAfter, crashBefore, crashAfter, refuses} {
			for at := 1; at <= calls; at++ {
				name := fmt.Sprintf("token-%d-%d", fate, at)
				w.issue(name)
				w.ops = 0
				w.fault = func(op int, _ string) mishap {
					if op == at {
						return fate
					}
					return fine
				}
				_, crashed, err := w.run(w.plan(name))
				if didCrash := fate == crashBefore || fate == crashAfter; crashed != didCrash || !crashed &&
					err == nil && fate != refuses {
					t.Fatalf("%s: crashed %t, error %v", name, crashed, err)
				}
				w.fault = nil
				w.settle(name)
			}
		}
	})
}

// TestNoGapUnderRandomMishaps plays random schedules of crashes, failures, answers that are lost, and refusals, several
// rotations each. At every call what the consumer holds is accepted.
func TestNoGapUnderRandomMishaps(t *testing.T) {
	w := newWorld(t, filepath.Join(t.TempDir(), "state.db"))
	var finished, crashes, takeovers int
	for seed := range uint64(24) {
		random := rand.New(rand.NewPCG(seed, 8))
		name := fmt.Sprintf("token%d", seed)
		w.issue(name)
		w.fault = func(int, string) mishap {
			if random.IntN(3) > 0 {
				return fine
			}
			return mishap(random.IntN(int(mishaps)))
		}
		for range 8 {
			result, crashed, err := w.run(w.plan(name))
			switch {
			case crashed:
				crashes++
				w.now = w.now.Add(past)
			case err == nil:
				finished++
				w.now = w.now.Add(2 * time.Hour) // the overlap is over
			}
			if result.Resumed {
				takeovers++
			}
			if w.noGap("between runs"); t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		w.fault = nil
		if w.settle(name); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if finished < 20 || crashes < 20 || takeovers < 10 {
		t.Errorf("%d finished, %d crashed, %d resumed: the schedules show nothing", finished, crashes, takeovers)
	}
}

// settle runs without mishaps until the rotation is through, and looks at what is left.
func (w *world) settle(name string) {
	w.t.Helper()
	w.now = w.now.Add(past)
	result, crashed, err := w.run(w.plan(name))
	if err != nil || crashed {
		w.t.Fatalf("%s: a run without mishaps: crashed %t, %v", name, crashed, err)
	}
	if result.ID == "" || result.Note != "noted" && !result.Resumed {
		w.t.Errorf("%s: the result is %+v", name, result)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.noGap("after the overlap")
	states := w.states(name)
	if states[0] != "current" {
		w.t.Errorf("%s: the newest generation is %s", name, states[0])
	}
	for _, state := range states[1:] {
		if state != "expired" && state != "revoked" {
			w.t.Errorf("%s: an old generation is left %s: %v", name, state, states)
		}
	}
	if left := w.journal(); len(left) != 0 {
		w.t.Errorf("%s: the journal still has %+v", name, left)
	}
}

// TestRefusalAfterLostAnswer is the case in which a refusal proves nothing: the first attempt was written, and only its
// answer was lost.
func TestRefusalAfterLostAnswer(t *testing.T) {
	for name, first := range map[string]mishap{"answer lost": failsAfter, "killed": crashAfter} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, filepath.Join(t.TempDir(), "state.db"))
			old := w.issue("n8n")
			fate := first
			w.fault = func(_ int, name string) mishap {
				if name == "set" {
					return fate
				}
				return fine
			}
			w.run(w.plan("n8n"))
			w.now, fate = w.now.Add(past), refuses
			if _, _, err := w.run(w.plan("n8n")); !errors.As(err, new(refusal)) {
				t.Errorf("got %v, want the refusal", err)
			}
			if !w.accepts(w.holds) || !w.accepts(old) {
				t.Errorf("new accepted: %t, old accepted: %t; want both", w.accepts(w.holds), w.accepts(old))
			}
			if diff := cmp.Diff([]string{"pending", "current"}, w.states("n8n")); diff != "" {
				t.Error(diff)
			}
			w.fault = nil
			w.settle("n8n")
		})
	}
}

// TestRefusalRollsBack: a clear no at the first attempt leaves nothing behind.
func TestRefusalRollsBack(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		old := w.issue("n8n")
		w.fault = func(_ int, name string) mishap {
			if name == "set" {
				return refuses
			}
			return fine
		}
		_, _, err := w.run(w.plan("n8n"))
		if !errors.As(err, new(refusal)) {
			t.Errorf("got %v, want the refusal", err)
		}
		if !w.accepts(old) {
			t.Error("the old value is refused")
		}
		if diff := cmp.Diff([]string{"revoked", "current"}, w.states("n8n")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]rotation.Entry(nil), w.journal()); diff != "" {
			t.Error(diff)
		}
	})
}
