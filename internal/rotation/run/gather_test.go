package run_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
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

// TestTooLarge: whatever a provider returns and however many replicas fail at length, the run's row can be read again,
// and nothing is left behind.
func TestTooLarge(t *testing.T) {
	for what, made := range map[string]driver.Made{
		"an id":   {Key: driver.Key{ID: strings.Repeat("k", 1<<20)}, Value: secret.NewValue([]byte("v"))},
		"a value": {Key: driver.Key{ID: "k1"}, Value: secret.NewValue(bytes.Repeat([]byte("v"), 3<<20))},
	} {
		w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
		p := w.plan()
		p.Driver = large{w, made}
		e, err := w.engine("one").Rotate(t.Context(), p, run.Request{})
		if err == nil || e.State != run.StateRolledBack || w.last().ID != e.ID || w.last().State != e.State {
			t.Errorf("%s: %s (%v), on record %s", what, e.State, err, w.last().State)
		}
		w.whole(0)
	}
	w := newWorld(t, newPlace(t, t.TempDir()+"/state.db"), "crm", minting)
	p := w.plan()
	p.Gate = crowd{gate{w}}
	e, err := w.engine("one").Rotate(t.Context(), p, run.Request{})
	if err == nil || e.State != run.StateRolledBack || w.last().State != e.State || len(w.last().Verdicts) == 0 ||
		!strings.Contains(err.Error(), "; and 990 more") {
		t.Errorf("%s (%v), on record %s", e.State, err, w.last().State)
	}
	w.whole(0)
}

// large is a provider whose new key is that one.
type large struct {
	*world

	made driver.Made
}

func (l large) Create(_ context.Context, job driver.Job) (driver.Made, error) {
	l.keys[l.made.Key.ID] = &key{label: job.Label()}
	return l.made, nil
}

// crowd are very many replicas, of which each fails at length.
type crowd struct{ gate }

func (crowd) Test(context.Context, string, secret.Value) (list []run.Verdict, err error) {
	for range 1000 {
		list = append(list, run.Verdict{Replica: "a", Failure: strings.Repeat("<", 2000)})
	}
	return list, nil
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
	if e := w.waits("many"); e.Needed() != many || !strings.Contains(e.StillNeeded(), "and 4950 more") {
		t.Errorf("%d are waited for", e.Needed())
	}
}
