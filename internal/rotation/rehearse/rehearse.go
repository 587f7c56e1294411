// Package rehearse tries a rotation's driver at the real provider without touching the secret: it lists keys, makes one
// with a label of its own, tests it, and deletes it again. The new value stands beside the secret as a pending version
// meanwhile, since that is where replicas read it to test it.
//
// Invariant: no key is ended but the one that this rehearsal made, and the current value is read and never changed.
package rehearse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
)

// mark begins the run id of a rehearsal. Ids of runs have no 0.
const mark = "0test"

// Is tells whether a run id is that of a rehearsal.
func Is(id string) bool { return strings.HasPrefix(id, mark) }

func newID() string { return mark + strings.ToLower(rand.Text())[:20-len(mark)] }

// Step is what one step of a rehearsal came to.
type Step struct {
	Name    string `json:"step"` // list, create, test, gate, delete, gone
	Text    string `json:"text"` // what happened, in words
	Failure string `json:"failure,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// Rehearsal is one try.
type Rehearsal struct {
	Plan  *run.Plan
	Tell  func(Step)                           // each step as it ends
	Pause func(context.Context, time.Duration) // between two attempts of a test
	// Idle is an error while a run of the rotation is unfinished, wherever it is worked on. Where two users take turns,
	// the key of a rehearsal is that run's by then, and is not deleted. nil: there is none.
	Idle func(context.Context) error

	job driver.Job
	can driver.Capabilities
}

// Run goes through the steps, and always tries to delete what it has made. The error is that of the first step that
// failed.
func (r *Rehearsal) Run(ctx context.Context) error {
	current, _, err := r.Plan.Secret.Current(ctx)
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return fmt.Errorf("testing the driver of rotation %q: reading the current version: %w", r.Plan.Name, err)
	}
	r.job = driver.Job{Rotation: r.Plan.Name, Run: newID(), Current: current}
	r.can = r.Plan.Driver.Capabilities()
	if err := r.steps(ctx); err != nil {
		return fmt.Errorf("testing the driver of rotation %q: %w", r.Plan.Name, err)
	}
	return nil
}

func (r *Rehearsal) steps(ctx context.Context) error {
	if r.can.Lists {
		keys, err := r.Plan.Driver.Keys(ctx, r.job)
		if err := r.told("list", fmt.Sprintf("the account has %d keys", len(keys)), err); err != nil {
			return err
		}
		if r.can.MaxKeys > 1 && len(keys) >= r.can.MaxKeys {
			return r.told("list", "", fault.WithHint(fmt.Errorf("%w: it allows %d", driver.ErrLimit, r.can.MaxKeys),
				"delete a key that nobody uses"))
		}
	}
	if !r.can.Deletes {
		return r.told("create", "the driver changes a value in place; nothing more can be tried without a change", nil)
	}
	made, err := r.Plan.Driver.Create(ctx, r.job)
	if err != nil {
		return errors.Join(r.told("create", "", err), r.lost(ctx, err))
	}
	err = r.told("create", "made key "+made.Key.ID+" with the label "+r.job.Label(), nil)
	return errors.Join(err, r.try(ctx, made), r.end(context.WithoutCancel(ctx), made.Key.ID))
}

// try has the key set and tested, as long as the provider may take until it works.
func (r *Rehearsal) try(ctx context.Context, made driver.Made) error {
	err := r.Plan.Secret.Stage(ctx, r.job.Run, made.Value)
	defer func() { _ = r.Plan.Secret.Discard(context.WithoutCancel(ctx), r.job.Run) }() // the next run writes over it
	if err == nil {
		err = r.Plan.Driver.Set(ctx, r.job, made)
	}
	const again = time.Second
	for waited := time.Duration(0); err == nil; waited += again {
		if err = r.test(ctx, made); err == nil || waited >= r.can.Late || ctx.Err() != nil {
			break
		}
		r.Pause(ctx, again)
		if waited+again <= r.can.Late {
			err = nil
		}
	}
	return r.told("test", "the provider and every replica's test call take the new key", err)
}

func (r *Rehearsal) test(ctx context.Context, made driver.Made) error {
	if err := r.Plan.Driver.Test(ctx, r.job, made); err != nil {
		return err
	}
	verdicts, err := r.Plan.Gate.Test(ctx, r.job.Run, made.Value)
	if err != nil {
		return fmt.Errorf("testing through the gate: %w", err)
	}
	for _, v := range verdicts {
		if v.Failure != "" {
			return fmt.Errorf("testing through the gate: %s: %s", v.Replica, v.Failure)
		}
	}
	return nil
}

// end deletes the key that was made, and looks whether it is gone.
func (r *Rehearsal) end(ctx context.Context, id string) error {
	var err error
	if r.Idle != nil {
		err = r.Idle(ctx)
	}
	if err == nil {
		err = r.Plan.Driver.Delete(ctx, r.job, id)
	}
	if err == nil && r.can.Lists {
		var keys []driver.Key
		if keys, err = r.Plan.Driver.Keys(ctx, r.job); err == nil &&
			slices.ContainsFunc(keys, func(key driver.Key) bool { return key.ID == id }) {
			err = errors.New("the provider said yes and still has it")
		}
	}
	if err != nil {
		err = fault.WithHint(fmt.Errorf("deleting key %s: %w", id, err),
			"`sallyport rotation sweep "+r.Plan.Name+" --fix` tries again")
	}
	return r.told("delete", "deleted key "+id, err)
}

// lost deletes what an attempt may have made whose answer was lost.
func (r *Rehearsal) lost(ctx context.Context, cause error) error {
	if driver.Certain(cause) || !r.can.Lists {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	keys, err := r.Plan.Driver.Keys(ctx, r.job)
	if err != nil {
		return r.told("delete", "", fmt.Errorf("looking for a key labelled %s: %w", r.job.Label(), err))
	}
	for _, key := range keys {
		if key.Label == r.job.Label() {
			err = errors.Join(err, r.end(ctx, key.ID))
		}
	}
	return err
}

func (r *Rehearsal) told(name, text string, err error) error {
	s := Step{Name: name, Text: text}
	if err != nil {
		s.Text, s.Failure, s.Hint = "", err.Error(), fault.HintOf(err)
		err = fmt.Errorf("%s: %w", name, err)
	}
	r.Tell(s)
	return err
}
