package check_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/rotation/run"
)

func TestRotation(t *testing.T) {
	now := time.Date(2026, 11, 29, 18, 0, 0, 0, time.UTC)
	says := func(err error, list ...site.Rotation) *site.Site {
		return &site.Site{Now: now, Rotations: func(context.Context) ([]site.Rotation, error) { return list, err }}
	}
	ran := func(state run.State, planned bool, err string) site.Rotation {
		return site.Rotation{
			Kind: "secret", Name: "stripe", Planned: planned, State: string(state),
			Last: now.Add(-time.Hour), Error: err,
		}
	}
	due := ran(run.StateDone, true, "")
	due.Due = now.Add(-24 * time.Hour)
	soon := due
	soon.Due = now.Add(-time.Hour)
	for name, c := range map[string]struct {
		rotation site.Rotation
		want     doctor.Status
	}{
		"well":        {ran(run.StateDone, true, ""), doctor.OK},
		"under way":   {ran(run.StateRunning, true, ""), doctor.OK},
		"soon":        {soon, doctor.OK},
		"overdue":     {due, doctor.Failed},
		"stuck":       {ran(run.StateStuck, true, "the provider denies"), doctor.Failed},
		"taken back":  {ran(run.StateRolledBack, true, "refused"), doctor.Failed},
		"failing":     {ran(run.StateRunning, true, "no route"), doctor.Warning},
		"unscheduled": {ran(run.StateDone, false, ""), doctor.Warning},
		"never":       {site.Rotation{Kind: "token", Name: "n8n", Planned: true}, doctor.Warning},
	} {
		if r := one(t, "rotation", says(nil, c.rotation)); r.Status != c.want {
			t.Errorf("%s: got %q: %+v", name, r.Status, r.Seen)
		}
	}
	golden(t, "rotation", one(t, "rotation", says(nil, due, ran(run.StateStuck, true, "the provider denies"))))
	if r := one(t, "rotation", says(nil)); r.Status != doctor.Warning {
		t.Errorf("nothing is rotated: %+v", r.Seen)
	}
	if r := one(t, "rotation", says(errors.New("no gate"))); r.Status != doctor.Unseen {
		t.Errorf("no gate: %+v", r.Seen)
	}
}
