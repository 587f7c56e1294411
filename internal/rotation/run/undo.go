package run

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
)

// turnBack puts on record that the run is taken back, and why.
func (w *work) turnBack(ctx context.Context, cause error) error {
	w.failed(cause)
	if fault.HintOf(cause) == "" {
		w.e.Hint = "the old value stays current; mend the cause and rotate again"
	}
	w.e.Step, w.e.Tries = StepUndo, 0
	return w.save(ctx)
}

// undo takes back what was made. Everything before it may have happened, or not, or twice.
func (w *work) undo(ctx context.Context) (Step, error) {
	if w.e.Touched {
		job, err := w.job(ctx)
		if err != nil {
			return "", err
		}
		if w.became(job) {
			return w.promote(ctx) // as this step, which waits if it fails: promote itself would come back here at once
		}
		if err := w.takeBack(ctx, job); err != nil {
			return "", err
		}
	}
	w.e.State = StateRolledBack
	kind := NoticeRolledBack
	if w.e.Aborted != "" {
		w.e.State, kind = StateAborted, NoticeAborted
	}
	w.g.tell(ctx, w.e, kind,
		"rotation "+w.e.Name+" was taken back, and the old value stays current: "+w.e.LastError)
	return StepNone, nil
}

// became tells whether the new version is current: promote had its effect, and its answer was lost. There is no way
// back then.
func (w *work) became(job driver.Job) bool {
	return !w.e.Value.IsZero() && w.e.Value.Same(job.Current)
}

func (w *work) takeBack(ctx context.Context, job driver.Job) error {
	if err := w.takeBackKey(ctx, job); err != nil {
		return err
	}
	if err := w.p.Secret.Discard(ctx, w.e.ID); err != nil {
		return fmt.Errorf("taking the pending version out of the store: %w", err)
	}
	return nil
}

func (w *work) takeBackKey(ctx context.Context, job driver.Job) error {
	if !w.can.Deletes {
		if w.e.Value.IsZero() {
			return nil // nothing was set yet
		}
		if err := w.p.Driver.Undo(ctx, job, w.e.made()); err != nil {
			return fmt.Errorf("having the provider accept the old value alone: %w", err)
		}
		return nil
	}
	if gone, err := w.oldGone(ctx, job); err != nil || gone {
		if gone && !w.e.Value.IsZero() {
			err = w.stuck(fmt.Errorf("the provider has ended the old key %s by itself, so the new one is not taken "+
				"back", w.e.OldKey),
				"test the new value; `sallyport rotation resume "+w.e.Name+" --forward` makes it current")
		}
		if err != nil {
			return err
		}
	}
	if w.can.Lists {
		if err := w.settle(ctx); err != nil {
			return err
		}
		if _, err := w.sweep(ctx, job); err != nil {
			return err
		}
	}
	if w.e.NewKey == "" {
		if !w.can.Lists {
			w.e.Left = "a key labelled " + job.Label() + ", if the provider has made one: it lists none by label"
		}
		return nil
	}
	if err := w.p.Driver.Delete(ctx, job, w.e.NewKey); err != nil {
		return fmt.Errorf("deleting the new key %s: %w", w.e.NewKey, err)
	}
	return nil
}

// Forward goes on from a run that is stuck because its old key is gone: the new version is tested once more, and
// becomes current.
func (g *Engine) Forward(ctx context.Context, p *Plan) (Entry, error) {
	e, err := g.Journal.take(ctx, p.Name, g.Owner)
	if err == nil && (e == nil || e.Step != StepUndo || e.Value.IsZero()) {
		err = fault.WithHint(errors.New("there is no run that waits for this"),
			"`sallyport rotation status "+p.Name+"` says what it waits for")
		if e != nil {
			err = errors.Join(err, g.Journal.release(ctx, e))
		}
	}
	if err != nil {
		return Entry{}, fmt.Errorf("rotating %q: %w", p.Name, err)
	}
	e.Step, e.Tries = StepTest, 0
	e.note("went forward, since the old key is gone")
	return g.finish(ctx, p, e)
}
