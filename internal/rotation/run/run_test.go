package run_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
)

// TestRotate: a rotation ends with the new value current and the old key ended, once nobody has used it for the grace
// time.
func TestRotate(t *testing.T) {
	onBoth(t, func(t *testing.T, p *place) {
		w := newWorld(t, p, "crm", minting)
		w.use("Orders", "1")
		e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{Actor: "ann"})
		if err != nil || e.State != run.StateWaiting || e.Step != run.StepRetire {
			t.Fatalf("got %s at %s (%v), want it to wait", e.State, e.Step, err)
		}
		if strings.Join(e.Waiting, " ") != "Orders" || !w.told("Orders") {
			t.Errorf("waiting for %q, told %v", e.Waiting, w.notices)
		}
		if value, version := w.current(); string(value.Reveal()) != "value-1-of-crm" || version != "2" {
			t.Errorf("current is version %s", version)
		}
		w.whole(1)
		e = w.end(100)
		if e.State != run.StateDone || e.Left != "" || w.keys["k0"] != nil {
			t.Errorf("got %s, left %q, keys %v", e.State, e.Left, w.keys)
		}
		w.whole(0)
	})
}

// TestGrace: while the old version is used, its key stays, also by who has used the new one.
func TestGrace(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	_, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		w.use("Orders", "1")
		w.use("Orders", "2")
		w.pass(4 * time.Minute)
		if e, err := w.engine("one").Resume(t.Context(), w.plan()); err != nil || e.State != run.StateWaiting ||
			w.keys["k0"] == nil {
			t.Fatalf("got %s (%v)", e.State, err)
		}
	}
	looks := 0
	for e := (run.Entry{}); !e.Ended(); looks++ {
		w.pass(4 * time.Minute)
		if e, err = w.engine("one").Resume(t.Context(), w.plan()); err != nil {
			t.Fatal(err)
		}
	}
	if looks != 15 {
		t.Errorf("the old key was ended after %d looks of 4 minutes each, want 15", looks)
	}
}

// TestClockJumps: a clock that jumps forward ends no key early, and one that jumps back keeps no run from going on.
func TestClockJumps(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	if _, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{}); err != nil {
		t.Fatal(err)
	}
	for _, jump := range []time.Duration{365 * 24 * time.Hour, -400 * 24 * time.Hour, 24 * time.Hour} {
		w.pass(jump)
		e, err := w.engine("another").Resume(t.Context(), w.plan())
		if err != nil || e.State != run.StateWaiting || e.Quiet > 15*time.Minute {
			t.Errorf("after %s: %s, quiet for %s (%v)", jump, e.State, e.Quiet, err)
		}
	}
	w.before = func(int) error { panic(killed{}) }
	if _, _, died := live(func() (run.Entry, error) { return w.engine("dying").Resume(t.Context(), w.plan()) }); !died {
		t.Fatal("it lives")
	}
	w.before = nil
	w.pass(-24 * time.Hour) // its lease now lies a day ahead
	if e, err := w.engine("another").Resume(t.Context(), w.plan()); err != nil || e.State != run.StateWaiting {
		t.Errorf("after the clock was set back: %s (%v)", e.State, err)
	}
}

// TestRollBack: what fails before the new version is current takes everything back.
func TestRollBack(t *testing.T) {
	for _, can := range []driver.Capabilities{minting, inPlace} {
		w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", can)
		w.refuses["b"] = "the API answered 403"
		e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{Run: "job-7"})
		if err == nil || !strings.Contains(err.Error(), "1 of 3 replicas failed: b: the API answered 403") ||
			fault.HintOf(err) == "" {
			t.Errorf("got %v", err)
		}
		if e.State != run.StateRolledBack || len(e.Verdicts) != 3 || !w.told("taken back") {
			t.Errorf("got %s, %v", e.State, e.Verdicts)
		}
		w.whole(0)
		if _, version := w.current(); version != "1" {
			t.Errorf("version %s is current", version)
		}
		again, err := w.engine("two").Rotate(t.Context(), w.plan(), run.Request{Run: "job-7"})
		if again.ID != e.ID || err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("the same request again: run %s, %v", again.ID, err)
		}
		delete(w.refuses, "b")
		if e, err := w.engine("two").Rotate(t.Context(), w.plan(),
			run.Request{Run: "job-8"}); err != nil || !e.Finished() {
			t.Errorf("the next one: %s (%v)", e.State, err)
		}
	}
}

// TestEveryFailureSaysWhatToDo: whichever call fails, who has asked for the run is told what to do.
func TestEveryFailureSaysWhatToDo(t *testing.T) {
	failures := 0
	for _, can := range []driver.Capabilities{minting, inPlace} {
		for n := 1; n <= 20; n++ {
			w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", can)
			w.before = func(call int) error {
				if call == n {
					return errors.New("it answered 500")
				}
				return nil
			}
			e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
			if err == nil {
				continue
			}
			failures++
			if fault.HintOf(err) == "" {
				t.Errorf("call %d: the run is %s: %v", n, e.State, err)
			}
		}
	}
	if failures < 10 {
		t.Errorf("only %d runs failed", failures)
	}
}

// TestTwoAtOnce: of two rotations of one secret one is told that the other is at work.
func TestTwoAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, p *place) {
		w := newWorld(t, p, "crm", minting)
		var second error
		w.before = func(n int) error {
			if n == 8 {
				_, second = w.engine("two").Rotate(t.Context(), w.plan(), run.Request{Actor: "bob"})
			}
			return nil
		}
		if _, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{Actor: "ann"}); err != nil {
			t.Error(err)
		}
		if !errors.Is(second, run.ErrRunning) || fault.ExitOf(second) != fault.ExitLocked ||
			fault.HintOf(second) == "" {
			t.Errorf("the second got %v, exit %d", second, fault.ExitOf(second))
		}
		w.before = nil
		w.end(100)
		w.whole(0)
	})
}

// TestOvertaken: a process that hung while another took its run over writes nothing, and leaves no key.
func TestOvertaken(t *testing.T) {
	onBoth(t, func(t *testing.T, p *place) {
		w := newWorld(t, p, "crm", driver.Capabilities{Lists: true, Deletes: true})
		w.after = func(int) error {
			w.mu.Lock()
			hang := w.made == 1
			w.mu.Unlock()
			if hang { // right after the key was made
				w.after = nil
				w.pass(time.Hour)
				if _, err := w.engine("two").Resume(t.Context(), w.plan()); err != nil {
					t.Error(err)
				}
			}
			return nil
		}
		if _, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{}); !errors.Is(err, run.ErrTaken) {
			t.Errorf("got %v", err)
		}
		w.end(100)
		w.whole(0)
	})
}

// TestPendingIsLost: a store that loses the pending version gets it again; one that does not keep it ends the run.
func TestPendingIsLost(t *testing.T) {
	for _, always := range []bool{false, true} {
		w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
		lost := 0
		w.after = func(int) error {
			if lost == 0 || always {
				if err := w.store().Delete(t.Context(), w.path()+run.PendingSuffix); err == nil {
					lost++
				}
			}
			return nil
		}
		e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
		switch {
		case lost == 0:
			t.Error("nothing was lost")
		case always &&
			(e.State != run.StateRolledBack || err == nil || !strings.Contains(err.Error(), "does not keep")):
			t.Errorf("got %s, %v", e.State, err)
		case !always && (err != nil || !e.Finished() || len(e.Notes) != 1):
			t.Errorf("got %s, %v, %v", e.State, e.Notes, err)
		}
	}
}

// TestSecretChangedMeanwhile: what a person writes during a run stays current.
func TestSecretChangedMeanwhile(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", driver.Capabilities{Lists: true, Deletes: true})
	w.keys["hand"] = &key{value: "by hand"}
	w.before = func(n int) error {
		if n == 12 {
			_, err := w.store().Put(t.Context(), w.path(), secret.NewValue([]byte("by hand")))
			return err
		}
		return nil
	}
	e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
	if e.State != run.StateRolledBack || !errors.Is(err, secret.ErrConflict) {
		t.Errorf("got %s, %v", e.State, err)
	}
	w.whole(1)
}

// TestPromoteFailsAfterItsEffect: while the store says no although the new version is current, the run waits, and it
// goes forward once the store says yes.
func TestPromoteFailsAfterItsEffect(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	failures := 0
	w.after = func(int) error {
		if _, version := w.current(); version == "1" {
			return nil
		}
		if failures++; failures > 20 {
			panic(killed{})
		}
		return errBroken
	}
	e, err, died := live(func() (run.Entry, error) {
		return w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
	})
	if died || err == nil || e.Ended() {
		t.Errorf("it tried until it died: %t; got %s, %v; want it to wait", died, e.State, err)
	}
	w.after = nil
	if e := w.end(100); e.State != run.StateDone {
		t.Errorf("got %s", e.State)
	}
	w.whole(0)
}

// TestPutBackByHand: while the old key waits for its end, a person puts its value back into the store. It is not ended.
func TestPutBackByHand(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	old, _ := w.current()
	if e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{}); err != nil || e.Ended() {
		t.Fatalf("got %s, %v", e.State, err)
	}
	if _, err := w.store().Put(t.Context(), w.path(), old); err != nil {
		t.Fatal(err)
	}
	e := w.end(100)
	if e.State != run.StateDone || !strings.Contains(e.Left, "k0") || !w.told("neither") {
		t.Errorf("got %s, left %q, told %v", e.State, e.Left, w.notices)
	}
	w.whole(1)
}

// TestNotConfirmed: a replica that does not confirm keeps the run from going on, and the old key alive.
func TestNotConfirmed(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	w.missing = []string{"c"}
	e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
	if e.Step != run.StepSpread || fault.ExitOf(err) != fault.ExitUnconfirmed || !strings.Contains(err.Error(), "c") {
		t.Errorf("got %s at %s, %v", e.State, e.Step, err)
	}
	w.missing = nil
	if e := w.end(100); e.State != run.StateDone {
		t.Errorf("got %s", e.State)
	}
	w.whole(0)
}

// TestOldKeyEndsByItself: before the new one is current it is not thrown away; after, there is nothing left to end.
func TestOldKeyEndsByItself(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	w.refuses["a"] = "no"
	w.after = func(int) error {
		if len(w.keys) == 2 {
			delete(w.keys, "k0")
		}
		return nil
	}
	e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
	if e.State != run.StateStuck || err == nil || len(w.keys) != 1 || !strings.Contains(err.Error(), "by itself") {
		t.Fatalf("got %s, %v, %d keys", e.State, err, len(w.keys))
	}
	delete(w.refuses, "a")
	w.after = nil
	if e, err := w.engine("two").Forward(t.Context(), w.plan()); err != nil || e.State != run.StateDone {
		t.Errorf("got %s, %v", e.State, err)
	}
	w.whole(0)
}

// TestLimit: a provider without room is left as it is.
func TestLimit(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	w.keys["other"] = &key{value: "of another program", label: "ci"}
	e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
	if e.State != run.StateRolledBack || !errors.Is(err, driver.ErrLimit) ||
		!strings.Contains(err.Error(), "k0, other (ci)") {
		t.Errorf("got %s, %v", e.State, err)
	}
	w.whole(1)
}

// TestUnknownOldKey: which of several keys was the old one is not guessed.
func TestUnknownOldKey(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", driver.Capabilities{Lists: true, Deletes: true})
	w.keys["other"] = &key{value: "of another program", label: "ci"}
	e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
	if err != nil || e.State != run.StateDone || !strings.Contains(e.Left, "k0, other (ci)") {
		t.Fatalf("got %s, left %q, %v", e.State, e.Left, err)
	}
	if _, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{}); err != nil {
		t.Fatal(err)
	}
	if e := w.end(100); e.OldKey != "k1" || e.Left != "" || w.keys["k1"] != nil {
		t.Errorf("the second run: old key %q, left %q", e.OldKey, e.Left)
	}
	w.whole(2)
}

// TestAbort: a run can be aborted until its version is current.
func TestAbort(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	w.after = func(int) error {
		if w.made == 1 {
			panic(killed{})
		}
		return nil
	}
	if _, _, died := live(func() (run.Entry, error) {
		return w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
	}); !died {
		t.Fatal("it lives")
	}
	w.after = nil
	w.pass(time.Hour)
	if e, err := w.engine("two").Abort(t.Context(), w.plan(), "ann"); err != nil || e.State != run.StateAborted {
		t.Errorf("got %s, %v", e.State, err)
	}
	w.whole(0)
	if _, err := w.engine("two").Abort(t.Context(), w.plan(), "ann"); err == nil || fault.HintOf(err) == "" {
		t.Errorf("nothing to abort: got %v", err)
	}
	if _, err := w.engine("two").Rotate(t.Context(), w.plan(), run.Request{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine("two").Abort(t.Context(), w.plan(), "ann"); err == nil ||
		!strings.Contains(err.Error(), "current already") {
		t.Errorf("after finish: got %v", err)
	}
	w.end(100)
	w.whole(0)
}

// TestKilledAfterEveryEffect: a process that dies at any instant leaves what another one ends: with the new value, or
// with the old one if the first did not get that far.
func TestKilledAfterEveryEffect(t *testing.T) {
	onBoth(t, func(t *testing.T, p *place) {
		for kind, can := range map[string]driver.Capabilities{"minting": minting, "in-place": inPlace} {
			for _, fails := range []bool{false, true} {
				for n := 1; ; n++ {
					w := newWorld(t, p, fmt.Sprintf("%s-%t-%d", kind, fails, n), can)
					w.grace = 5 * time.Minute
					if fails {
						w.refuses["c"] = "no"
					}
					die := func(at int) error {
						if at == (n+1)/2 {
							panic(killed{at})
						}
						return nil
					}
					if w.before = die; n%2 == 0 {
						w.before, w.after = nil, die
					}
					_, _, died := live(func() (run.Entry, error) {
						return w.engine("dying").Rotate(t.Context(), w.plan(), run.Request{})
					})
					w.before, w.after = nil, nil
					if value, _ := w.current(); can.MaxKeys != 1 && !w.accepts(value) {
						t.Errorf("%s: the current value is refused right after the crash", w.name)
					}
					e := w.end(100)
					if e.ID != "" && (e.State == run.StateDone) == fails {
						t.Errorf("%s: it ended as %s", w.name, e.State)
					}
					w.whole(0)
					if !died {
						break
					}
				}
			}
		}
	})
}

// TestObjects: a store may return an object in another form than it was given, as Vault does. Killed after each effect,
// a run comes to its end all the same: its own value is not taken for another user's, nor its key ended while it is
// current.
func TestObjects(t *testing.T) {
	p := newPlace(t, t.TempDir()+"/state.db")
	for kind, can := range map[string]driver.Capabilities{"minting": minting, "in-place": inPlace} {
		for n := 1; ; n++ {
			w := newWorld(t, p, fmt.Sprintf("%s-%d", kind, n), can)
			w.objects, w.grace = true, 5*time.Minute
			w.after = func(at int) error {
				if at == n {
					panic(killed{at})
				}
				return nil
			}
			_, _, died := live(func() (run.Entry, error) {
				return w.engine("dying").Rotate(t.Context(), w.plan(), run.Request{})
			})
			w.after = nil
			if e := w.end(100); e.ID != "" && (e.State != run.StateDone || e.Left != "") {
				t.Errorf("%s: it ended as %s, left %q: %s", w.name, e.State, e.Left, e.LastError)
			}
			w.whole(0)
			if !died {
				break
			}
		}
	}
}

// TestForgedRow: a run whose row was altered is left alone, and said so.
func TestForgedRow(t *testing.T) {
	p := newPlace(t, t.TempDir()+"/state.db")
	w := newWorld(t, p, "crm", minting)
	if _, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{}); err != nil {
		t.Fatal(err)
	}
	if e := w.last(); e.LastError != "" {
		t.Errorf("a run whose row is as it was written says %q", e.LastError)
	}
	if _, err := p.db.Exec(`UPDATE rotation_run SET body = replace(body, '"k0"', '"k1"')`); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	if _, err := w.engine("one").Resume(t.Context(), w.plan()); !errors.Is(err, run.ErrForged) ||
		fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if e := w.last(); e.State != run.StateStuck || e.LastError != run.ErrForged.Error() || e.OldKey != "" {
		t.Errorf("it is shown as %+v", e)
	}
	report, err := w.engine("one").Journal.Check(t.Context())
	if err != nil || len(report.Altered) != 1 {
		t.Errorf("got %+v, %v", report, err)
	}
}
