package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/fault"
)

// Standing is a unit of a fleet that is to stand still for a while, and how many nodes it has again afterwards.
type Standing struct {
	Unit string `json:"unit"`
	Want int    `json:"want"` // 0: it stood still before, and is left so
}

// Hold makes the caller the only one that works on the fleet until release is called. A restart that is not finished
// is ErrUnfinished.
func (r *Roller) Hold(ctx context.Context) (release func(), err error) {
	unlock, err := r.lock(ctx)
	if err != nil {
		return nil, err
	}
	last, err := r.Journal.Load(ctx, r.Fleet)
	if err == nil && last.Unfinished() {
		err = unfinished(last)
	}
	if err = errors.Join(err, r.Journal.Ask(ctx, r.Fleet, NoRequest)); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// lock is the fleet's, or what to do when another process has it.
func (r *Roller) lock(ctx context.Context) (unlock func(), err error) {
	unlock, err = r.Journal.Lock(ctx, r.Fleet)
	if errors.Is(err, ErrWorking) {
		err = fault.WithExit(fault.WithHint(err,
			"wait for it, or `sallyport fleet pause "+r.Fleet+"`; `sallyport fleet status "+r.Fleet+
				"` shows how far it is"), fault.ExitLocked)
	}
	return unlock, err
}

// Whole returns the units of a fleet that can be made to stand still. One that is not healthy is an error: nothing
// would tell afterwards whether it is as it was.
func (r *Roller) Whole(ctx context.Context) ([]Unit, error) {
	if _, err := r.scaler(); err != nil {
		return nil, err
	}
	units, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	return units, healthyBefore(units)
}

func (r *Roller) scaler() (Scaler, error) {
	scaler, ok := r.Orchestrator.(Scaler)
	if !ok {
		return nil, fault.WithHint(fmt.Errorf("%w: to stop and to start fleet %q", ErrNotAllowed, r.Fleet),
			"stop its nodes by hand")
	}
	return scaler, nil
}

// Halt stops the units in their order and returns when none of their nodes is there any more. n8n is drained first. It
// may be called again after any end; the caller holds the fleet.
func (r *Roller) Halt(ctx context.Context, units []Standing) error {
	scaler, err := r.scaler()
	if err != nil {
		return err
	}
	w := r.standing(units)
	for i := range w.record.Steps {
		s := &w.record.Steps[i]
		if err := w.halt(ctx, scaler, s, i == 0); err != nil {
			return fmt.Errorf("stopping unit %q: %w", s.Unit, err)
		}
	}
	return nil
}

// Raise starts the units again, the last one first, and returns when all are healthy and proved. It may be called again
// after any end; the caller holds the fleet.
func (r *Roller) Raise(ctx context.Context, units []Standing) error {
	scaler, err := r.scaler()
	if err != nil {
		return err
	}
	w := r.standing(units)
	for i := range slices.Backward(w.record.Steps) {
		s := &w.record.Steps[i]
		if err := w.raise(ctx, scaler, s, units[i].Want); err != nil {
			return fmt.Errorf("starting unit %q: %w", s.Unit, err)
		}
	}
	return nil
}

// standing is work of which the caller keeps the record.
func (r *Roller) standing(units []Standing) *work {
	w := &work{Roller: r, limits: r.Limits.orDefaults(), record: &Record{Fleet: r.Fleet}}
	for _, u := range units {
		step := Step{Unit: u.Unit, Phase: Waiting}
		if u.Want == 0 {
			step.Phase = Skipped
		}
		w.record.Steps = append(w.record.Steps, step)
	}
	return w
}

func (w *work) halt(ctx context.Context, scaler Scaler, s *Step, first bool) error {
	if s.Phase == Skipped {
		return nil
	}
	u, err := w.look(ctx, s.Unit)
	if err != nil {
		return err
	}
	if first && !still(u) {
		if err := w.drain(ctx, s, u); err != nil {
			return err
		}
	}
	if !still(u) {
		w.tell(s, "stopping")
		err := w.until(ctx, s, func() error { return scaler.Stop(ctx, s.Unit, w.limits.Grace) })
		if err == nil {
			err = w.awaitStill(ctx, s)
		}
		if err != nil {
			return err
		}
	}
	s.Phase = Done
	w.tell(s, "stands still")
	return nil
}

// still tells whether no node of a unit is there. A node that has ended with an error is none either.
func still(u Unit) bool { return u.State == Stopped || u.State == Failed && len(u.Nodes) == 0 }

func (w *work) awaitStill(ctx context.Context, s *Step) error {
	for deadline := time.Now().Add(w.limits.Unit); ; {
		u, err := w.look(ctx, s.Unit)
		switch {
		case err != nil:
			return err
		case still(u):
			return nil
		case !time.Now().Before(deadline):
			return fault.WithHint(fmt.Errorf("%d of its nodes are still there after %v", len(u.Nodes), w.limits.Unit),
				"see what keeps them, such as an autoscaler or a restart policy")
		}
		if err := w.between(ctx, false); err != nil {
			return err
		}
	}
}

func (w *work) raise(ctx context.Context, scaler Scaler, s *Step, want int) error {
	if s.Phase == Skipped {
		return nil
	}
	u, err := w.look(ctx, s.Unit)
	if err != nil {
		return err
	}
	if u.State != Ready {
		w.tell(s, "starting")
		if err := w.until(ctx, s, func() error { return scaler.Start(ctx, s.Unit, want) }); err != nil {
			return err
		}
	}
	if u, err = w.settle(ctx, s); err != nil {
		return err
	}
	if w.Prover != nil {
		if err := w.Prover.Prove(ctx, u); err != nil {
			return fmt.Errorf("proving it: %w", err)
		}
	}
	s.Phase = Done
	w.tell(s, "is healthy")
	return nil
}

// until makes a call that may be made twice, again for as long as the orchestrator is away.
func (w *work) until(ctx context.Context, s *Step, call func() error) error {
	for deadline := time.Now().Add(w.limits.Unit); ; {
		err := call()
		if err == nil || !errors.Is(err, ErrUnreachable) || !time.Now().Before(deadline) {
			return unreachable(err)
		}
		w.tell(s, "the orchestrator did not answer")
		if err := w.between(ctx, false); err != nil {
			return err
		}
	}
}
