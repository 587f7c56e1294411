// Package sweep finds the keys at a provider that a rotation has made and that nothing accounts for: no value of theirs
// is anywhere, and no run goes on with them. Runs clean up after themselves; a key is left over when a provider lied
// about a deletion, or a database was restored from a backup.
//
// It removes only what a run on record here has left. A label of a run that is not on record may be that of another
// installation with the same account, and is shown.
//
// Invariant: a key that a run on record has as its new or its old one is never removed, and neither is one without a
// label of this rotation.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/rehearse"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
)

// Orphan is a key that nothing accounts for.
type Orphan struct {
	Key     driver.Key `json:"key"`
	Run     string     `json:"run"`
	Why     string     `json:"why"`
	Safe    bool       `json:"safe"` // nobody has its value, so that it can be removed
	Removed bool       `json:"removed"`
	Failure string     `json:"failure,omitempty"` // why it was not removed
}

// Report is what a sweep found.
type Report struct {
	Rotation string   `json:"rotation"`
	Keys     int      `json:"keys"` // of the account, whoever made them
	Own      int      `json:"own"`  // with a label of this rotation
	Orphans  []Orphan `json:"orphans"`
}

// Sweep looks for orphans of p among the provider's keys. runs are those on record. With fix it removes those that are
// safe to remove; the report tells what became of each, also beside an error.
func Sweep(ctx context.Context, p *run.Plan, runs []run.Entry, fix bool) (Report, error) {
	report := Report{Rotation: p.Name, Orphans: []Orphan{}}
	if !p.Driver.Capabilities().Lists {
		return report, fault.WithHint(fmt.Errorf("sweeping the keys of rotation %q: the provider does not list keys "+
			"by label", p.Name), "compare the provider's page of keys with `sallyport rotation history "+p.Name+"`")
	}
	current, _, err := p.Secret.Current(ctx)
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return report, fmt.Errorf("sweeping the keys of rotation %q: reading the current version: %w", p.Name, err)
	}
	job := driver.Job{Rotation: p.Name, Current: current}
	keys, err := p.Driver.Keys(ctx, job)
	if err != nil {
		return report, fmt.Errorf("sweeping the keys of rotation %q: %w", p.Name, err)
	}
	report.Keys = len(keys)
	for _, key := range keys {
		id, own := runOf(p.Name, key.Label)
		if !own {
			continue
		}
		report.Own++
		if why, safe, orphan := judge(p.Name, key, id, runs); orphan {
			report.Orphans = append(report.Orphans, Orphan{Key: key, Run: id, Why: why, Safe: safe})
		}
	}
	slices.SortFunc(report.Orphans, func(a, b Orphan) int { return strings.Compare(a.Key.ID, b.Key.ID) })
	if fix {
		err = report.remove(ctx, p, job)
	}
	return report, err
}

const runLength = 20

// runOf is the run that a label of this rotation names.
func runOf(name, label string) (string, bool) {
	id, ok := strings.CutPrefix(label, driver.LabelPrefix+name+"-")
	if !ok || len(id) != runLength ||
		strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return "", false
	}
	return id, true
}

// judge tells whether a key is an orphan, and whether it may be removed.
func judge(name string, key driver.Key, id string, runs []run.Entry) (why string, safe, orphan bool) {
	if rehearse.Is(id) {
		return "it was made by `rotation test`, which did not come to its end", true, true
	}
	var maker *run.Entry
	for i := range slices.Backward(runs) { // the newest first: two users that take turns have their ids again and again
		e := &runs[i]
		if e.Name != name {
			continue
		}
		if e.ID == id {
			maker = e
		}
		if e.State == run.StateDone && e.NewKey == key.ID || !e.Ended() && (e.NewKey == key.ID || e.OldKey == key.ID) {
			why, orphan = supersededBy(e, key, runs)
			return why, false, orphan
		}
	}
	switch {
	case maker == nil:
		return "its run is not on record here; another installation may use it", false, true
	case !maker.Ended():
		return "", false, false // the run goes on, and cleans up
	case maker.State == run.StateDone:
		return "run " + id + " has come to its end with another key, and this one's value is nowhere", true, true
	}
	return "run " + id + " was taken back, and its key is still there", true, true
}

// supersededBy tells of the key of a run that is done whether a later one has taken its place.
func supersededBy(e *run.Entry, key driver.Key, runs []run.Entry) (why string, superseded bool) {
	for i := range runs {
		later := &runs[i]
		if later.Name == e.Name && later.Number > e.Number && later.State == run.StateDone && later.NewKey != key.ID {
			return "run " + later.ID + " has replaced it, and it was not ended; it may be in use still", true
		}
	}
	return "", false
}

// remove ends a key if it is what it was: where two users take turns, a run that has begun since has it now.
func remove(ctx context.Context, p *run.Plan, job driver.Job, key driver.Key) error {
	keys, err := p.Driver.Keys(ctx, job)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(keys, func(k driver.Key) bool { return k.ID == key.ID }); i >= 0 &&
		keys[i].Label != key.Label {
		return fmt.Errorf("it has the label %s by now", keys[i].Label)
	}
	return p.Driver.Delete(ctx, job, key.ID)
}

// remove ends what is safe to end, and looks whether it is gone.
func (r *Report) remove(ctx context.Context, p *run.Plan, job driver.Job) error {
	var failed []error
	for i := range r.Orphans {
		o := &r.Orphans[i]
		if !o.Safe {
			continue
		}
		job.Run = o.Run
		if err := remove(ctx, p, job, o.Key); err != nil {
			o.Failure = err.Error()
			failed = append(failed, fmt.Errorf("removing key %s: %w", o.Key.ID, err))
			continue
		}
		o.Removed = true
	}
	keys, err := p.Driver.Keys(ctx, job)
	if err != nil {
		return errors.Join(append(failed, fmt.Errorf("looking whether the keys are gone: %w", err))...)
	}
	for i := range r.Orphans {
		o := &r.Orphans[i]
		if o.Removed && slices.ContainsFunc(keys, func(key driver.Key) bool { return key.ID == o.Key.ID }) {
			o.Removed, o.Failure = false, "the provider said yes and still has it"
			failed = append(failed, fmt.Errorf("removing key %s: %s", o.Key.ID, o.Failure))
		}
	}
	return errors.Join(failed...)
}
