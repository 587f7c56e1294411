package changeover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/guard"
	"sallyport/internal/masterkey/rekey"
)

// begin looks at everything before anything is touched, and puts on record what is there.
func (c *Change) begin(ctx context.Context, r *Record) error {
	units, err := c.Fleet.Whole(ctx)
	if err != nil {
		return err
	}
	for _, u := range units {
		if u.Want == 0 {
			continue
		}
		if err := c.Steps.Prove(ctx, u, false); err != nil {
			return fmt.Errorf("asking unit %q for its key before anything is done: %w", u.Name, err)
		}
	}
	if err := errors.Join(c.Steps.Check(ctx), c.Record(ctx)); err != nil {
		return err
	}
	now := time.Now().UTC()
	*r = Record{ID: now.Format("20060102T150405Z"), Fleet: r.Fleet, Began: now, Store: Stored{At: c.At}, Undo: c.Undo}
	for _, u := range units {
		r.Units = append(r.Units, fleet.Standing{Unit: u.Name, Want: u.Want})
	}
	return c.enter(r, Stopping)
}

// already proves the nodes of a fleet whose database is under the new key.
func (c *Change) already(ctx context.Context, r *Record) error {
	c.Tell("the database is under the new key already")
	units, err := c.Fleet.Orchestrator.List(ctx)
	if err != nil {
		return err
	}
	for _, u := range units {
		if u.State == fleet.Stopped {
			c.Tell("%s stands still", u.Name)
			continue
		}
		if err := c.Steps.Prove(ctx, u, true); err != nil {
			return fmt.Errorf("proving unit %q: %w", u.Name, err)
		}
	}
	r.Phase = Complete
	return nil
}

// advance goes from phase to phase to the end.
func (c *Change) advance(ctx context.Context, r *Record) error {
	for r.Unfinished() {
		if err := ctx.Err(); err != nil {
			return err
		}
		before := r.Phase
		err := guard.Try("changing the master key of a fleet", func() error { return c.step(ctx, r) })
		switch {
		case err == nil:
		case errors.Is(err, ErrHeld), before != Stopping && before != Storing && before != Changing:
			return err
		default:
			return c.failed(ctx, r, err)
		}
	}
	if r.Phase == Returned {
		return fault.WithHint(fmt.Errorf("%w: %s", ErrReturned, r.Error), "the same command begins again")
	}
	return nil
}

func (c *Change) step(ctx context.Context, r *Record) error {
	switch r.Phase {
	case Stopping:
		return c.stop(ctx, r)
	case Storing:
		if r.Store.At != "" {
			if err := c.Steps.Store(ctx, &r.Store, func() error { return c.save(r) }); err != nil {
				return err
			}
		}
		return c.enter(r, Changing)
	case Changing:
		return c.change(ctx, r)
	case Installing:
		if err := c.Steps.Install(ctx); err != nil {
			return err
		}
		return c.enter(r, Starting)
	case Starting:
		return c.start(ctx, r)
	case Returning:
		return c.comeBack(ctx, r)
	case Complete, Returned: // nothing is left to do, and nobody asks
	}
	return fmt.Errorf("there is no step for phase %q", r.Phase)
}

func (c *Change) stop(ctx context.Context, r *Record) error {
	if err := c.Fleet.Halt(ctx, r.Units); err != nil {
		return err
	}
	r.Still = time.Now().UTC()
	return c.enter(r, Storing)
}

// change changes the database, unless that was done before the record could say so. The nodes stand still: those that
// something has started meanwhile are stopped again.
func (c *Change) change(ctx context.Context, r *Record) error {
	under, err := c.Steps.Under(ctx)
	if err != nil {
		return err
	}
	if !under.New || under.Old {
		if err := c.Fleet.Halt(ctx, r.Units); err != nil {
			return err
		}
		backup := c.Undo
		if backup == "" {
			if r.Backup != "" {
				c.Tell("the backup %s is of an attempt that changed nothing", r.Backup)
			}
			r.Backup = c.Backup()
			backup = r.Backup
			if err := c.save(r); err != nil {
				return err
			}
		}
		if err := c.Steps.Change(ctx, r.Still, backup); err != nil {
			return err
		}
	}
	return c.enter(r, Installing)
}

func (c *Change) start(ctx context.Context, r *Record) error {
	if c.Hold {
		return ErrHeld
	}
	c.Fleet.Prover = prover(func(ctx context.Context, u fleet.Unit) error { return c.Steps.Prove(ctx, u, true) })
	if err := c.Fleet.Raise(ctx, r.Units); err != nil {
		return err
	}
	return c.enter(r, Complete)
}

type prover func(context.Context, fleet.Unit) error

// Prove implements fleet.Prover.
func (p prover) Prove(ctx context.Context, u fleet.Unit) error { return p(ctx, u) }

// failed brings the nodes back where the database is under the old key for certain, and nobody has asked for an end.
func (c *Change) failed(ctx context.Context, r *Record, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) || fault.ExitOf(err) == fault.ExitInterrupted ||
		errors.Is(err, rekey.ErrUncertain) {
		return err
	}
	under, unknown := c.Steps.Under(ctx)
	switch {
	case unknown != nil:
		return errors.Join(err, fmt.Errorf("looking which key the database has: %w", unknown))
	case !under.Old:
		return err
	}
	r.Error = err.Error()
	c.Tell("it failed, and nothing was changed: the nodes are started again with the old key")
	if back := c.comeBack(ctx, r); back != nil {
		return errors.Join(err, fmt.Errorf("starting the nodes again: %w", back))
	}
	return fault.WithHint(err, join(fault.HintOf(err), "the nodes run again with the old key"))
}

func join(hint, more string) string {
	if hint == "" {
		return more
	}
	return hint + "; " + more
}

// comeBack starts the nodes as they were.
func (c *Change) comeBack(ctx context.Context, r *Record) error {
	if r.Phase != Returning {
		if err := c.enter(r, Returning); err != nil {
			return err
		}
	}
	if r.Store.Now != "" {
		if err := c.Steps.Unstore(ctx, r.Store); err != nil {
			return err
		}
	}
	c.Fleet.Prover = prover(func(ctx context.Context, u fleet.Unit) error { return c.Steps.Prove(ctx, u, false) })
	if err := c.Fleet.Raise(ctx, r.Units); err != nil {
		return err
	}
	return c.enter(r, Returned)
}
