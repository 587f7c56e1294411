package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/rotation/rehearse"
	"sallyport/internal/rotation/run"
	"sallyport/internal/rotation/sweep"
	"sallyport/internal/secret"
)

// provider keeps keys, and may lie about deletions.
type provider struct {
	driver.Local
	keys    []driver.Key
	deleted []string
	lies    bool
	can     driver.Capabilities
	breaks  map[string]error // by step
	value   string
	listed  func() // once the keys were listed
}

func (p *provider) Capabilities() driver.Capabilities { return p.can }

func (p *provider) Keys(context.Context, driver.Job) ([]driver.Key, error) {
	keys := slices.Clone(p.keys)
	if p.listed != nil {
		p.listed()
	}
	return keys, p.breaks["list"]
}

func (p *provider) Create(_ context.Context, job driver.Job) (driver.Made, error) {
	key := driver.Key{ID: fmt.Sprintf("n%d", len(p.keys)), Label: job.Label()}
	p.keys = append(p.keys, key)
	if err := p.breaks["create"]; err != nil {
		return driver.Made{}, err
	}
	return driver.Made{Key: key, Value: secret.NewValue([]byte(p.value))}, nil
}

func (p *provider) Test(context.Context, driver.Job, driver.Made) error { return p.breaks["test"] }

func (p *provider) Delete(_ context.Context, _ driver.Job, id string) error {
	p.deleted = append(p.deleted, id)
	if !p.lies {
		p.keys = slices.DeleteFunc(p.keys, func(key driver.Key) bool { return key.ID == id })
	}
	return p.breaks["delete"]
}

// kept is the store and the gate.
type kept struct {
	run.Secret
	run.Gate
	failure string
}

func (kept) Current(context.Context) (secret.Value, string, error) {
	return secret.NewValue([]byte("the-current-value")), "3", nil
}

func (kept) Stage(context.Context, string, secret.Value) error { return nil }

func (kept) Discard(context.Context, string) error { return nil }

func (k kept) Test(context.Context, string, secret.Value) ([]run.Verdict, error) {
	return []run.Verdict{{Replica: "a", Failure: k.failure}}, nil
}

var lists = driver.Capabilities{Lists: true, Deletes: true}

func plan(p *provider) *run.Plan {
	return &run.Plan{Name: "crm", Driver: p, Secret: kept{}, Gate: kept{}}
}

func id(letter string) string { return strings.Repeat(letter, 20) }

// TestSweep: what nothing accounts for is found, and only what a run here has left is removed.
func TestSweep(t *testing.T) {
	label := func(run string) string { return "sallyport-crm-" + run }
	p := &provider{can: lists, keys: []driver.Key{
		{ID: "by-hand", Label: "made by hand"},
		{ID: "other", Label: "sallyport-crm-eu-" + id("a")},
		{ID: "current", Label: label(id("c"))},
		{ID: "twin", Label: label(id("c"))},
		{ID: "taken-back", Label: label(id("r"))},
		{ID: "going-on", Label: label(id("g"))},
		{ID: "before", Label: label(id("b"))},
		{ID: "unknown", Label: label(id("u"))},
		{ID: "rehearsal", Label: label("0test" + id("x")[5:])},
	}}
	runs := []run.Entry{
		{Name: "crm", ID: id("b"), Number: 1, State: run.StateDone, NewKey: "before"},
		{Name: "crm", ID: id("r"), Number: 2, State: run.StateRolledBack, NewKey: "taken-back"},
		{Name: "crm", ID: id("c"), Number: 3, State: run.StateDone, NewKey: "current", OldKey: "before"},
		{Name: "crm", ID: id("g"), Number: 4, State: run.StateWaiting, NewKey: "going-on", OldKey: "current"},
		{Name: "other", ID: id("u"), Number: 1, State: run.StateRolledBack},
	}
	for _, fix := range []bool{false, true} {
		report, err := sweep.Sweep(t.Context(), plan(p), runs, fix)
		if err != nil || report.Keys != 9 || report.Own != 7 {
			t.Fatalf("%+v (%v)", report, err)
		}
		found := map[string]bool{}
		for _, o := range report.Orphans {
			if found[o.Key.ID] = o.Safe; o.Removed != (fix && o.Safe) || o.Why == "" {
				t.Errorf("%+v", o)
			}
		}
		want := map[string]bool{"twin": true, "taken-back": true, "rehearsal": true, "before": false, "unknown": false}
		if fmt.Sprint(found) != fmt.Sprint(want) {
			t.Errorf("found %v, want %v", found, want)
		}
	}
	slices.Sort(p.deleted)
	if fmt.Sprint(p.deleted) != "[rehearsal taken-back twin]" {
		t.Errorf("deleted %v", p.deleted)
	}
}

// TestSweepOfTurns: of two users that take turns, the one in use is accounted for, also where an earlier run ended it.
func TestSweepOfTurns(t *testing.T) {
	p := &provider{can: lists, keys: []driver.Key{{ID: "user-b", Label: "sallyport-crm-" + id("c")}}}
	report, err := sweep.Sweep(t.Context(), plan(p), []run.Entry{
		{Name: "crm", ID: id("a"), Number: 1, State: run.StateDone, NewKey: "user-b", OldKey: "user-a"},
		{Name: "crm", ID: id("b"), Number: 2, State: run.StateDone, NewKey: "user-a", OldKey: "user-b"},
		{Name: "crm", ID: id("c"), Number: 3, State: run.StateDone, NewKey: "user-b", OldKey: "user-a"},
	}, true)
	if err != nil || len(report.Orphans) != 0 || len(p.deleted) != 0 {
		t.Errorf("got %+v, %v", report, err)
	}
}

// TestSweepFails: a provider that cannot list is not swept, and one that lies is found out.
func TestSweepFails(t *testing.T) {
	if _, err := sweep.Sweep(t.Context(), plan(new(provider)), nil, true); err == nil {
		t.Error("a provider that cannot list was swept")
	}
	p := &provider{can: lists, lies: true, keys: []driver.Key{{ID: "k", Label: "sallyport-crm-" + id("r")}}}
	runs := []run.Entry{{Name: "crm", ID: id("r"), State: run.StateAborted}}
	report, err := sweep.Sweep(t.Context(), plan(p), runs, true)
	if err == nil || report.Orphans[0].Removed || !strings.Contains(report.Orphans[0].Failure, "still has it") {
		t.Errorf("%+v (%v)", report, err)
	}
}

// TestRunBeganMeanwhile: a key that a run has taken over since it was looked at is not deleted, neither by a sweep nor
// at the end of a rehearsal.
func TestRunBeganMeanwhile(t *testing.T) {
	runs := []run.Entry{{ID: id("a"), Name: "crm", Number: 1, State: run.StateRolledBack}}
	p := &provider{can: lists, keys: []driver.Key{{ID: "u2", Label: driver.LabelPrefix + "crm-" + id("a")}}}
	p.listed = func() { p.keys = []driver.Key{{ID: "u2", Label: driver.LabelPrefix + "crm-" + id("b")}} }
	report, err := sweep.Sweep(t.Context(), plan(p), runs, true)
	if err == nil || len(p.deleted) > 0 || len(report.Orphans) != 1 || report.Orphans[0].Failure == "" {
		t.Errorf("the sweep deleted %v: %+v (%v)", p.deleted, report, err)
	}
	p = &provider{can: lists, value: "the-new-value"}
	r := &rehearse.Rehearsal{
		Plan: plan(p), Pause: func(context.Context, time.Duration) {}, Tell: func(rehearse.Step) {},
		Idle: func(context.Context) error { return run.ErrRunning },
	}
	if err := r.Run(t.Context()); !errors.Is(err, run.ErrRunning) || len(p.deleted) > 0 {
		t.Errorf("the rehearsal deleted %v (%v)", p.deleted, err)
	}
}

// rehearsed runs a rehearsal, and returns what it said.
func rehearsed(t *testing.T, p *run.Plan) (text string, err error) {
	t.Helper()
	r := &rehearse.Rehearsal{
		Plan: p, Pause: func(context.Context, time.Duration) {},
		Tell: func(s rehearse.Step) { text += s.Name + ": " + s.Text + s.Failure + "\n" },
	}
	err = r.Run(t.Context())
	return text, err
}

// TestRehearsal: a rehearsal leaves the provider as it was, whatever goes wrong.
func TestRehearsal(t *testing.T) {
	for name, c := range map[string]struct {
		breaks  map[string]error
		failure string
		want    string
		left    int
	}{
		"well":          {nil, "", "delete: deleted key n1", 1},
		"not created":   {map[string]error{"create": driver.ErrUnclear}, "", "create: it is not clear", 1},
		"not tested":    {map[string]error{"test": errors.New("no")}, "", "test: no", 1},
		"not at a gate": {nil, "401", "a: 401", 1},
		"not deleted":   {map[string]error{"delete": driver.ErrRefused}, "", "deleting key n1: the provider refused", 1},
	} {
		p := &provider{can: lists, breaks: c.breaks, value: "the-new-value", keys: []driver.Key{{ID: "old"}}}
		planned := plan(p)
		planned.Gate = kept{failure: c.failure}
		text, err := rehearsed(t, planned)
		if (err == nil) != (name == "well") || !strings.Contains(text, c.want) || len(p.keys) != c.left ||
			p.keys[0].ID != "old" {
			t.Errorf("%s: %v, keys %v:\n%s", name, err, p.keys, text)
		}
		if strings.Contains(text, "value-") || strings.Contains(text, "the-new-value") {
			t.Errorf("%s: a value is told", name)
		}
	}
	full := &provider{can: driver.Capabilities{Lists: true, Deletes: true, MaxKeys: 2}, keys: make([]driver.Key, 2)}
	if _, err := rehearsed(t, plan(full)); !errors.Is(err, driver.ErrLimit) || len(full.deleted) > 0 {
		t.Errorf("a full account: %v", err)
	}
	inPlace := &provider{can: driver.Capabilities{MaxKeys: 1}}
	text, err := rehearsed(t, plan(inPlace))
	if err != nil || !strings.Contains(text, "in place") || len(inPlace.keys) > 0 {
		t.Errorf("a value that is changed in place: %v, %s", err, text)
	}
}
