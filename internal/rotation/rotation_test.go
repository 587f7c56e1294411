package rotation_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/rotation"
	"sallyport/internal/secret"

	"github.com/google/go-cmp/cmp"
)

// TestWithoutConsumer hands the new value to the caller.
func TestWithoutConsumer(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		old := w.issue("n8n")
		result, _, err := w.run(rotation.Plan{Name: "n8n", Overlap: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if !w.accepts(result.Value) || !w.accepts(old) {
			t.Errorf("in the overlap: new accepted %t, old accepted %t; want both",
				w.accepts(result.Value), w.accepts(old))
		}
		w.now = w.now.Add(time.Hour)
		if !w.accepts(result.Value) || w.accepts(old) {
			t.Errorf("after the overlap: new accepted %t, old accepted %t; want the new one only",
				w.accepts(result.Value), w.accepts(old))
		}
	})
}

// TestOrder is create, set, test, finish: the consumer gets nothing before the gate takes it, and the overlap begins
// last.
func TestOrder(t *testing.T) {
	w := newWorld(t, filepath.Join(t.TempDir(), "state.db"))
	w.issue("n8n")
	var order []string
	w.fault = func(_ int, name string) mishap {
		order = append(order, name)
		return fine
	}
	if _, _, err := w.run(w.plan("n8n")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pending", "begin", "probe", "set", "probe", "finish"}, order); diff != "" {
		t.Error(diff)
	}
}

// TestLease: while one process is at it, others are kept out; when it is gone, its rotation is taken over after the
// lease.
func TestLease(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.issue("n8n")
		var inside error
		p := w.plan("n8n")
		p.Consumer = set(func(ctx context.Context, value secret.Value) error {
			w.now = w.now.Add(155 * time.Second) // the longest step there is
			_, inside = w.runner.Run(ctx, w.plan("n8n"))
			if err := w.runner.Abort(ctx, "n8n"); !errors.Is(err, rotation.ErrInProgress) ||
				fault.ExitOf(err) != fault.ExitLocked {
				t.Errorf("aborting meanwhile: got %v, want ErrInProgress", err)
			}
			w.holds = value
			panic(crash{})
		})
		if _, crashed, err := w.run(p); !crashed {
			t.Fatalf("the consumer was not reached: %v", err)
		}
		if !errors.Is(inside, rotation.ErrInProgress) || fault.ExitOf(inside) != fault.ExitLocked ||
			!strings.Contains(fault.HintOf(inside), "taken over after") {
			t.Errorf("a second run meanwhile: got %v, hint %q", inside, fault.HintOf(inside))
		}
		if _, _, err := w.run(w.plan("n8n")); !errors.Is(err, rotation.ErrInProgress) {
			t.Errorf("right after the crash: got %v, want ErrInProgress", err)
		}
		w.now = w.now.Add(past)
		result, _, err := w.run(w.plan("n8n"))
		if err != nil || !result.Resumed {
			t.Errorf("after the lease: resumed %t, %v", result.Resumed, err)
		}
	})
}

// TestFailureGivesTheLeaseBack: a process that says it failed keeps nobody waiting.
func TestFailureGivesTheLeaseBack(t *testing.T) {
	w := newWorld(t, filepath.Join(t.TempDir(), "state.db"))
	w.issue("n8n")
	w.fault = func(_ int, name string) mishap {
		if name == "set" {
			return failsBefore
		}
		return fine
	}
	if _, _, err := w.run(w.plan("n8n")); !strings.Contains(fault.HintOf(err), "rotation abort n8n") {
		t.Errorf("the failure is %v with the hint %q", err, fault.HintOf(err))
	}
	left := w.journal()
	if len(left) != 1 || left[0].Step != rotation.StepSet || !strings.Contains(left[0].LastError, errUnclear.Error()) {
		t.Errorf("the journal has %+v", left)
	}
	w.fault = nil
	if result, _, err := w.run(w.plan("n8n")); err != nil || !result.Resumed {
		t.Errorf("the next run: resumed %t, %v", result.Resumed, err)
	}
}

func TestAbort(t *testing.T) {
	stopAt := func(w *world, call string, fate mishap) {
		w.fault = func(_ int, name string) mishap {
			if name == call {
				return fate
			}
			return fine
		}
		w.run(w.plan("n8n"))
		w.fault, w.now = nil, w.now.Add(past)
	}
	for name, c := range map[string]struct {
		call string
		fate mishap
		want []string
	}{
		"claimed only":          {"begin", crashBefore, []string{"current"}},
		"not on record":         {"begin", crashAfter, []string{"revoked", "current"}},
		"before the consumer":   {"set", failsBefore, []string{"revoked", "current"}},
		"finished, not cleared": {"finish", crashAfter, []string{"current", "retiring"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, filepath.Join(t.TempDir(), "state.db"))
			w.issue("n8n")
			stopAt(w, c.call, c.fate)
			if err := w.runner.Abort(t.Context(), "n8n"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, w.states("n8n")); diff != "" {
				t.Error(diff)
			}
			if left := w.journal(); len(left) != 0 {
				t.Errorf("the journal still has %+v", left)
			}
			if err := w.runner.Abort(t.Context(), "n8n"); err == nil || fault.HintOf(err) == "" {
				t.Errorf("with nothing unfinished: got %v, want an error with a hint", err)
			}
		})
	}
}

// TestRevokedMeanwhile: an unfinished rotation whose new value someone ended is not gone on with: a dead value would
// reach the consumer.
func TestRevokedMeanwhile(t *testing.T) {
	for _, call := range []string{"probe", "set", "finish"} {
		t.Run(call, func(t *testing.T) {
			w := newWorld(t, filepath.Join(t.TempDir(), "state.db"))
			w.issue("n8n")
			w.fault = func(_ int, name string) mishap {
				if name == call {
					return crashBefore
				}
				return fine
			}
			w.run(w.plan("n8n"))
			w.fault, w.now = nil, w.now.Add(past)
			if _, err := w.registry.Revoke(t.Context(), "n8n"); err != nil {
				t.Fatal(err)
			}
			w.issue("n8n") // and someone writes it into n8n
			if _, _, err := w.run(w.plan("n8n")); err != nil {
				if _, _, err = w.run(w.plan("n8n")); err != nil {
					t.Errorf("the token can't be rotated any more: %v", err)
				}
			}
			w.noGap("at the end")
		})
	}
}

// TestSealed: the value that waits in the journal is not to be read in the database.
func TestSealed(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.issue("n8n")
		var value secret.Value
		p := w.plan("n8n")
		p.Consumer = set(func(_ context.Context, v secret.Value) error { value = v; return errUnclear })
		w.run(p)
		var sealed []byte
		if err := w.runner.Journal.DB.QueryRowContext(t.Context(),
			"SELECT sealed FROM rotation").Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		if value.IsZero() || len(sealed) == 0 || strings.Contains(string(sealed), string(value.Reveal())) {
			t.Errorf("the value of %d bytes is kept in %d bytes, in the clear", value.Len(), len(sealed))
		}
	})
}

// set is a Consumer.
type set func(context.Context, secret.Value) error

func (s set) Set(ctx context.Context, value secret.Value) (string, error) {
	return "noted", s(ctx, value)
}
