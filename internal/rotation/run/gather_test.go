package run_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/internal/rotation/run"
)

// waits looks once more, and wants the run to wait.
func (w *world) waits(what string) run.Entry {
	w.t.Helper()
	w.pass(5 * time.Minute)
	e, err := w.engine("one").Resume(w.t.Context(), w.plan())
	if err != nil || e.State != run.StateWaiting || w.keys["k0"] == nil {
		w.t.Fatalf("%s: %s (%v)", what, e.State, err)
	}
	return e
}

// TestGathered: before the old key is ended every replica says what it has counted. While one of them cannot be asked
// the key stays, and what it says then can begin the grace time again.
func TestGathered(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	w.use("Orders", "1")
	w.use("Orders", "2")
	asked := 0
	w.gathers = func() []string { asked++; return []string{"b (no answer)"} }
	if _, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{}); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		w.waits("a replica cannot be asked")
	}
	if e := w.last(); !strings.Contains(e.Hint, "b (no answer)") || asked == 0 || asked >= 40 {
		t.Errorf("the hint is %q, asked %d times", e.Hint, asked)
	}
	w.gathers = func() []string {
		w.gathers = nil
		w.use("Orders", "1") // b had counted it
		return nil
	}
	if e := w.waits("a use that was not written down"); e.Quiet != 0 {
		t.Errorf("the grace time goes on, at %s", e.Quiet)
	}
	w.gathers = func() []string {
		w.gathers = nil
		w.use("Bills", "1") // and this one
		return nil
	}
	for e := w.last(); len(e.Waiting) == 0; {
		e = w.waits("a consumer that was not written down")
	}
	for range 40 {
		w.waits("a consumer that has not used the new version")
	}
	w.use("Bills", "2")
	if e := w.end(100); e.State != run.StateDone {
		t.Errorf("it ended as %s", e.State)
	}
	w.whole(0)
}

// TestDoubt: uses of nobody knows whom begin the grace time again, and nobody is waited for.
func TestDoubt(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	if _, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{}); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		w.use("", "1") // a gate was killed
		if e := w.waits("doubt"); len(e.Waiting) > 0 || e.Quiet != 0 {
			t.Errorf("waiting for %q, quiet for %s", e.Waiting, e.Quiet)
		}
	}
	if e := w.end(100); e.State != run.StateDone {
		t.Errorf("it ended as %s", e.State)
	}
}

// TestCountsTakenAway: counts that go down are told, and end no key.
func TestCountsTakenAway(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	w.use("Orders", "1")
	if _, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{}); err != nil {
		t.Fatal(err)
	}
	w.uses = map[string]map[string]int64{}
	if e := w.waits("the counts are gone"); e.Quiet != 0 || len(e.Notes) != 1 {
		t.Errorf("quiet for %s, notes %q", e.Quiet, e.Notes)
	}
}

// TestManyConsumers: however many consumers there are and whatever they are called, the run's row can be read again.
func TestManyConsumers(t *testing.T) {
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	const many = 5000
	for i := range many {
		w.use(strings.Repeat("\"", 195)+string(rune('a'+i%26))+string(rune(0x4e00+i)), "1")
	}
	e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{})
	if err != nil || e.Needed() != many {
		t.Fatalf("%d are waited for (%v)", e.Needed(), err)
	}
	if e := w.waits("many"); e.Needed() != many || !strings.Contains(e.StillNeeded(), "and 4900 more") {
		t.Errorf("%d are waited for", e.Needed())
	}
}
