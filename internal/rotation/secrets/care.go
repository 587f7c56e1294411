package secrets

import (
	"context"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/pause"
	"sallyport/internal/rotation/rehearse"
	"sallyport/internal/rotation/run"
	"sallyport/internal/rotation/sweep"
)

// Sweep looks for keys that the rotation has made and nothing accounts for, and with fix removes those whose value
// nobody has. No run of the rotation goes on in this process meanwhile.
func (r *Rotations) Sweep(ctx context.Context, name, actor string, fix bool) (report sweep.Report, err error) {
	if fix {
		if err := r.record(ctx, actor, "rotation.sweep", name); err != nil {
			return report, err
		}
	}
	err = r.alone(ctx, name, func(p *run.Plan) error {
		runs, err := r.o.Journal.List(ctx)
		if err != nil {
			return err
		}
		report, err = sweep.Sweep(ctx, p, runs, fix)
		return err
	})
	return report, err
}

// Rehearse tries the rotation's driver with a key of its own, which it deletes again, and tells tell each step.
func (r *Rotations) Rehearse(ctx context.Context, name, actor string, tell func(rehearse.Step)) error {
	if err := r.record(ctx, actor, "rotation.test", name); err != nil {
		return err
	}
	return r.alone(ctx, name, func(p *run.Plan) error {
		if err := r.idle(ctx, name); err != nil {
			return err
		}
		return (&rehearse.Rehearsal{
			Plan: p, Tell: tell, Idle: func(ctx context.Context) error { return r.idle(ctx, name) },
			Pause: func(ctx context.Context, d time.Duration) { _ = pause.For(ctx, d) },
		}).Run(ctx)
	})
}

// idle is an error while a run is unfinished, wherever it is worked on: where two users take turns, a key of a try is
// the one that consumers of the old value still use.
func (r *Rotations) idle(ctx context.Context, name string) error {
	runs, err := r.o.Journal.List(ctx)
	if err != nil {
		return err
	}
	for i := range runs {
		if e := &runs[i]; e.Name == name && !e.Ended() {
			return fault.WithExit(fault.WithHint(fmt.Errorf("trying the driver of rotation %q: %w: run %s, at step %s",
				name, run.ErrRunning, e.ID, e.Step), "try again once it has ended"), fault.ExitLocked)
		}
	}
	return nil
}

// alone does something with a rotation while no run of it goes on in this process.
func (r *Rotations) alone(ctx context.Context, name string, do func(*run.Plan) error) error {
	spec, err := r.spec(name)
	if err != nil {
		return err
	}
	mine, err := r.claim(name, nil, nil)
	if err != nil {
		return err
	}
	defer r.release(name, mine, run.Entry{}, nil)
	p, err := r.planned(ctx, name, spec)
	if err != nil {
		return fmt.Errorf("looking at the rotation %q: %w", name, err)
	}
	return do(p)
}
