package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// create makes the new key. What an earlier attempt may have made, whose value nobody has, goes first.
func (w *work) create(ctx context.Context) (Step, error) {
	if !w.e.Value.IsZero() {
		return StepSet, nil // it is on record, and what came after that was lost
	}
	job, err := w.job(ctx)
	switch {
	case err != nil:
		return "", err
	case w.can.NeedsOld && job.Current.IsZero():
		return "", fault.WithHint(errors.New("the driver logs in with the current value, and there is none"),
			"put the value that the provider accepts into the store first")
	}
	if err := w.room(ctx, job); err != nil {
		return "", err
	}
	lost := w.e.Touched && !w.can.Lists // an earlier attempt may have made a key that cannot be found
	w.e.Touched = true
	if err := w.save(ctx); err != nil {
		return "", err
	}
	made, err := w.p.Driver.Create(ctx, job)
	switch {
	case err != nil:
		w.e.Touched = !driver.Certain(err) || lost
		return "", fmt.Errorf("creating the new key: %w", err)
	case made.Value.IsZero():
		return "", errors.New("creating the new key: the driver returned none")
	case made.Value.Same(job.Current):
		return "", errors.New("creating the new key: the driver returned the value that is current")
	case made.Value.Len() > maxValue, len(made.Key.ID) > maxKey:
		err := fmt.Errorf("creating the new key: its value has %d bytes and its id %d, and %d and %d are the most",
			made.Value.Len(), len(made.Key.ID), maxValue, maxKey)
		if w.can.Deletes {
			err = errors.Join(err, w.p.Driver.Delete(ctx, job, made.Key.ID))
		}
		return "", err
	}
	w.e.Value, w.e.NewKey = made.Value, made.Key.ID
	if err := w.save(ctx); err != nil {
		if errors.Is(err, ErrTaken) && w.can.Deletes { // the run has another key by now, or will have one
			err = errors.Join(err, w.p.Driver.Delete(context.WithoutCancel(ctx), job, made.Key.ID))
		}
		return "", err
	}
	return StepSet, nil
}

// settle waits until a key shows in the provider's list of which nobody knows whether it was made.
func (w *work) settle(ctx context.Context) error {
	for waited := time.Duration(0); w.can.Lists && w.e.Touched && w.e.NewKey == "" && waited < w.can.Late &&
		ctx.Err() == nil; waited += testAgain {
		w.g.pause(ctx, testAgain)
		if err := w.save(ctx); err != nil { // it renews the lease
			return err
		}
	}
	return nil
}

// room deletes keys of this run, and finds out which key is the old one and whether the provider takes another.
func (w *work) room(ctx context.Context, job driver.Job) error {
	if !w.can.Lists {
		return nil
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	others, err := w.sweep(ctx, job)
	if err != nil {
		return err
	}
	if w.e.OldKey == "" && len(others) == 1 && !job.Current.IsZero() {
		w.e.OldKey = others[0].ID
	}
	if w.can.MaxKeys > 1 && len(others) >= w.can.MaxKeys {
		return fault.WithHint(fmt.Errorf("%w: it allows %d, and has %s", driver.ErrLimit, w.can.MaxKeys, names(others)),
			"delete the one that nobody uses, then rotate again")
	}
	return nil
}

// sweep deletes all keys with this run's label but the one on record, and returns the others.
func (w *work) sweep(ctx context.Context, job driver.Job) (others []driver.Key, err error) {
	keys, err := w.p.Driver.Keys(ctx, job)
	if err != nil {
		return nil, fmt.Errorf("listing the provider's keys: %w", err)
	}
	for _, key := range keys {
		switch {
		case key.ID == w.e.NewKey && w.e.NewKey != "":
		case key.Label != job.Label():
			others = append(others, key)
		case !w.can.Deletes:
			return nil,
				w.stuck(fmt.Errorf("the provider has key %s of an attempt that was lost, and it cannot be deleted by "+
					"the driver", key.ID), "delete it by hand")
		default:
			if err := w.p.Driver.Delete(ctx, job, key.ID); err != nil {
				return nil, fmt.Errorf("deleting key %s of an attempt that was lost: %w", key.ID, err)
			}
		}
	}
	return others, nil
}

func names(keys []driver.Key) string {
	list := make([]string, len(keys))
	for i, key := range keys {
		if list[i] = key.ID; key.Label != "" {
			list[i] += " (" + key.Label + ")"
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// set stages the value in the store, and has the provider accept it.
func (w *work) set(ctx context.Context) (Step, error) {
	job, err := w.job(ctx)
	if err != nil {
		return "", err
	}
	if err := w.p.Secret.Stage(ctx, w.e.ID, w.e.Value); err != nil {
		return "", fmt.Errorf("writing the pending version into the store: %w", err)
	}
	if err := w.p.Driver.Set(ctx, job, w.e.made()); err != nil {
		return "", fmt.Errorf("setting the new value at the provider: %w", err)
	}
	return StepTest, nil
}

// testAgain is how long a test waits before it is repeated, where a new key takes its time to work.
const testAgain = time.Second

// test uses the pending version as it came back from the store.
func (w *work) test(ctx context.Context) (Step, error) {
	if err := w.staged(ctx); err != nil {
		return "", err
	}
	job, err := w.job(ctx)
	if err != nil {
		return "", err
	}
	// Time is counted in attempts, and not by a clock, which can jump.
	for waited := time.Duration(0); ; waited += testAgain {
		err := w.tryOut(ctx, job)
		if err == nil {
			return StepPromote, nil
		}
		if waited >= w.can.Late || ctx.Err() != nil {
			return "", err
		}
		w.g.pause(ctx, testAgain)
		if err := w.save(ctx); err != nil { // it renews the lease
			return "", err
		}
	}
}

// staged has the store give the pending version back. If the store has lost it, it is written once more.
func (w *work) staged(ctx context.Context) error {
	for range 2 {
		value, err := w.p.Secret.Staged(ctx, w.e.ID)
		switch {
		case err == nil && value.Equal(w.e.Value):
			return nil
		case err != nil && !errors.Is(err, secret.ErrNotFound):
			return fmt.Errorf("reading the pending version from the store: %w", err)
		}
		w.e.note("the store had lost the pending version; it was written again")
		if err := w.p.Secret.Stage(ctx, w.e.ID, w.e.Value); err != nil {
			return fmt.Errorf("writing the pending version into the store again: %w", err)
		}
	}
	return fault.WithHint(errors.New("the store does not keep the pending version"),
		"look for another process that writes or deletes it")
}

// maxNamed is how many replicas an error names.
const maxNamed = 10

func (w *work) tryOut(ctx context.Context, job driver.Job) error {
	if err := w.p.Driver.Test(ctx, job, w.e.made()); err != nil {
		return fmt.Errorf("testing the new value at the provider: %w", err)
	}
	verdicts, err := w.p.Gate.Test(ctx, w.e.ID, w.e.Value)
	if err != nil {
		return fmt.Errorf("testing the new value through the gate: %w", err)
	}
	w.e.keepVerdicts(verdicts)
	var failures []string
	for _, one := range verdicts {
		if one.Failure != "" {
			failures = append(failures, one.Replica+": "+one.Failure)
		}
	}
	if len(failures) == 0 {
		return nil
	}
	slices.Sort(failures)
	failed := len(failures)
	if failed > maxNamed {
		failures = append(failures[:maxNamed], fmt.Sprintf("and %d more", failed-maxNamed))
	}
	return fault.WithHint(fmt.Errorf("testing the new value through the gate: %d of %d replicas failed: %s",
		failed, len(verdicts), strings.Join(failures, "; ")),
		"the old value stays current; look why it works at one replica and not at another, then rotate again")
}

// promote makes the new version current, unless someone changed the secret meanwhile.
func (w *work) promote(ctx context.Context) (Step, error) {
	version, err := w.p.Secret.Promote(ctx, w.e.Value, w.e.OldVersion)
	if errors.Is(err, secret.ErrConflict) {
		return "", fault.WithHint(fmt.Errorf("making the new version current: %w", err),
			"someone has written another value since the run began, and that stays current; rotate again")
	}
	if err != nil {
		return "", fmt.Errorf("making the new version current: %w", err)
	}
	w.e.NewVersion = version
	return StepSpread, nil
}

// spread waits until every replica uses the new version. The pending one is needed no more then.
func (w *work) spread(ctx context.Context) (Step, error) {
	missing, err := w.p.Gate.Spread(ctx, w.e.NewVersion)
	if err != nil {
		return "", fmt.Errorf("having every replica use version %s: %w", w.e.NewVersion, err)
	}
	if len(missing) > 0 {
		return "", fault.WithExit(fault.WithHint(fmt.Errorf("version %s is current, and was not confirmed by %s",
			w.e.NewVersion, strings.Join(missing, ", ")),
			"the old key stays valid; the run goes on when they are back, or gone for good"), fault.ExitUnconfirmed)
	}
	if err := w.p.Secret.Discard(ctx, w.e.ID); err != nil {
		return "", fmt.Errorf("taking the pending version out of the store: %w", err)
	}
	return StepRestart, nil
}

func (w *work) restart(ctx context.Context) (Step, error) {
	for _, target := range w.p.Restart {
		if w.p.Fleet == nil {
			return "", fault.WithHint(fmt.Errorf("restarting %s: nothing says how", target),
				"restart it by hand and take it out of restart, or say which orchestrator runs it")
		}
		if err := w.p.Fleet.Restart(ctx, target); err != nil {
			return "", fmt.Errorf("restarting %s: %w", target, err)
		}
		if err := w.save(ctx); err != nil {
			return "", err
		}
	}
	return StepRetire, nil
}
