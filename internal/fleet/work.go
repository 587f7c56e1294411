package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/pause"
)

// work is a restart under way.
type work struct {
	*Roller

	limits Limits
	record *Record
}

// What ends a restart without being its failure.
var (
	errPaused  = errors.New("it was paused")
	errAborted = errors.New("it was aborted")
)

// run does the steps that are not over, and puts what ended it on record.
func (w *work) run(ctx context.Context) error {
	err := w.steps(ctx)
	if err == nil && !w.record.Back {
		w.tidy(ctx)
	}
	// The record is made whatever has become of the caller; it is small.
	ctx = context.WithoutCancel(ctx)
	resume := "`sallyport fleet restart " + w.Fleet + " --resume` goes on"
	switch {
	case err == nil:
		w.record.Status = Complete
	case errors.Is(err, errPaused):
		w.record.Status, err = Paused, interrupted(err, resume)
	case errors.Is(err, errAborted):
		w.record.Status, err = Aborted, interrupted(err,
			"`sallyport fleet restart "+w.Fleet+" --rollback` takes back what was done")
	case errors.Is(err, context.Canceled), errors.Is(err, errJournal):
		return fault.WithHint(err, resume) // the record says running, which is what it was
	default:
		hint := strings.TrimSuffix(fault.HintOf(err), ".")
		if hint != "" {
			hint += "; then "
		}
		err = fault.WithHint(err, hint+resume+", --rollback takes back what was done")
		w.record.Status, w.record.Error, w.record.Hint = Broken, err.Error(), fault.HintOf(err)
	}
	if saved := w.save(ctx); saved != nil {
		return errors.Join(err, saved)
	}
	w.tell(nil, "%s", w.record.Status)
	return err
}

// tidy removes what is left over. Whether that succeeds does not change what has become of the units.
func (w *work) tidy(ctx context.Context) {
	tidier, ok := w.Orchestrator.(Tidier)
	if !ok {
		return
	}
	removed, err := tidier.Tidy(ctx)
	for _, name := range removed {
		w.tell(nil, "removed %s, which nothing uses any more", name)
	}
	if err != nil {
		w.tell(nil, "not all that is left over was removed, the next restart tries again: %v", err)
	}
}

func interrupted(err error, hint string) error {
	return fault.WithExit(fault.WithHint(err, hint), fault.ExitInterrupted)
}

func (w *work) steps(ctx context.Context) error {
	for i := range w.record.Steps {
		s := &w.record.Steps[i]
		if s.Phase.over() {
			continue
		}
		if err := w.asked(ctx, true); err != nil {
			return err
		}
		if err := w.step(ctx, s); err != nil {
			return fmt.Errorf("unit %q: %w", s.Unit, err)
		}
	}
	return nil
}

// step brings one unit to its end from wherever it is.
func (w *work) step(ctx context.Context, s *Step) error {
	if s.Phase == Waiting || s.Phase == Draining {
		going, err := w.prepare(ctx, s)
		if err != nil || !going {
			return err
		}
	}
	if s.Phase == Settling || s.Phase == Proving {
		if err := w.again(ctx, s); err != nil {
			return err
		}
	}
	if s.Phase == Restarting {
		if err := w.restart(ctx, s); err != nil {
			return err
		}
		if err := w.enter(ctx, s, Settling); err != nil {
			return err
		}
	}
	u, err := w.settle(ctx, s)
	if err != nil {
		return err
	}
	if w.Prover != nil {
		if err := w.enter(ctx, s, Proving); err != nil {
			return err
		}
		if err := w.Prover.Prove(ctx, u); err != nil {
			return fmt.Errorf("proving it: %w", err)
		}
	}
	s.Ended = time.Now().UTC()
	return w.enter(ctx, s, Done)
}

// again has a unit restarted once more whose restart was begun before, if the orchestrator has given it up: what kept
// it from starting may be mended, and of that the orchestrator takes no notice.
func (w *work) again(ctx context.Context, s *Step) error {
	u, err := w.look(ctx, s.Unit)
	if err != nil || u.State != Failed {
		return err
	}
	w.tell(s, "the orchestrator has given it up: it is restarted again")
	s.Before = u.Generation
	return w.enter(ctx, s, Restarting)
}

// prepare notes what the unit is now and drains n8n. going is false for a unit with nothing to restart.
func (w *work) prepare(ctx context.Context, s *Step) (going bool, err error) {
	u, err := w.look(ctx, s.Unit)
	if err != nil {
		return false, err
	}
	if s.Began.IsZero() {
		s.Began = time.Now().UTC()
	}
	if u.State == Stopped {
		s.Ended = time.Now().UTC()
		return false, w.enter(ctx, s, Skipped)
	}
	s.Before = u.Generation
	if !w.record.Back && !s.Earlier {
		s.Revision = u.Revision
	}
	if err := w.enter(ctx, s, Draining); err != nil {
		return false, err
	}
	if err := w.drain(ctx, s, u); err != nil {
		return false, err
	}
	return true, w.enter(ctx, s, Restarting)
}

// drain waits until n8n executes nothing, for as long as it may.
func (w *work) drain(ctx context.Context, s *Step, u Unit) error {
	if w.Busy == nil {
		if u.Grace > 0 && u.Grace < w.limits.Grace {
			w.tell(s,
				"the orchestrator kills its nodes %v after it has told them to end, and n8n may take %v: executions "+
					"can be cut off", u.Grace, w.limits.Grace)
		}
		return nil
	}
	silent := false
	for deadline, told := time.Now().Add(w.limits.Drain), -1; ; {
		n, err := w.Busy.Running(ctx)
		switch late := !time.Now().Before(deadline); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && n == 0:
			return nil
		case late && w.limits.MustDrain && err != nil:
			return fmt.Errorf("draining it: %w", err)
		case late && w.limits.MustDrain:
			return fault.WithHint(fmt.Errorf("%d executions still run after %v", n, w.limits.Drain),
				"wait for them or stop them in n8n, or give them longer")
		case late && err != nil:
			w.tell(s, "n8n does not tell which executions run: they have %v to end", w.limits.Grace)
			return nil //nolint:nilerr // told, and not required
		case late:
			w.tell(s, "%d executions still run: they have %v to end", n, w.limits.Grace)
			return nil
		case err == nil && n != told:
			told = n
			w.tell(s, "waiting for %d running executions", n)
		case err != nil && !silent: // it may be restarting, or its key be put right meanwhile
			silent = true
			w.tell(s, "it is not known what n8n executes, asking again for %v: %v%s", w.limits.Drain, err,
				inBrackets(fault.HintOf(err)))
		}
		if err := w.between(ctx, true); err != nil {
			return err
		}
	}
}

func inBrackets(hint string) string {
	if hint == "" {
		return ""
	}
	return " (" + hint + ")"
}

// restart has the orchestrator restart a unit, unless that was begun: a process before this one may have been ended
// after it had told the orchestrator and before it knew.
func (w *work) restart(ctx context.Context, s *Step) error {
	for deadline := time.Now().Add(w.limits.Unit); ; {
		u, err := w.look(ctx, s.Unit)
		if err != nil {
			return err
		}
		if s.Before != "" && u.Generation != "" && u.Generation != s.Before {
			w.tell(s, "its restart was begun before")
			return nil
		}
		if err = w.begin(ctx, s); err == nil || !errors.Is(err, ErrUnreachable) || !time.Now().Before(deadline) {
			return unreachable(err)
		}
		w.tell(s, "the orchestrator did not answer")
		if err := w.between(ctx, false); err != nil {
			return err
		}
	}
}

// begin is the one call that changes something.
func (w *work) begin(ctx context.Context, s *Step) error {
	if reverter, ok := w.Orchestrator.(Reverter); ok && w.record.Back && s.Revision != "" {
		err := reverter.Revert(ctx, s.Unit, s.Revision)
		if !errors.Is(err, ErrNoRevision) {
			return err
		}
		w.tell(s, "what it ran before is not kept any more: it is restarted")
	}
	return w.Orchestrator.Restart(ctx, s.Unit, w.limits.Grace)
}

// settle waits until the unit has been healthy, with the same processes, for a while.
func (w *work) settle(ctx context.Context, s *Step) (Unit, error) {
	var since time.Time
	var same, told string
	for deadline := time.Now().Add(w.limits.Unit); ; {
		u, err := w.Orchestrator.Look(ctx, s.Unit)
		why := err
		if err == nil {
			why = w.healthy(ctx, s, u)
		}
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return u, ctx.Err()
		case err != nil && !errors.Is(err, ErrUnreachable):
			return u, gone(err)
		case err == nil && u.State == Failed:
			return u, fault.WithHint(errors.New(describe(u)),
				"see the log of its nodes; a worker without a key does not start, nor, from n8n 2.39, any n8n with a "+
					"wrong one")
		case err != nil: // what is not seen may be as it was: the same processes afterwards are enough
		case why != nil:
			since = time.Time{}
		case since.IsZero() || instances(u) != same:
			since, same = now, instances(u)
		case now.Sub(since) >= w.limits.Settle:
			return u, nil
		}
		if !now.Before(deadline) {
			return u, w.late(why)
		}
		if why != nil && why.Error() != told {
			told = why.Error()
			w.tell(s, "%s", told)
		}
		if err := w.between(ctx, false); err != nil {
			return u, err
		}
	}
}

// healthy is why the unit is not yet what it has to be, or nil.
func (w *work) healthy(ctx context.Context, s *Step, u Unit) error {
	switch {
	case s.Before != "" && u.Generation == s.Before && !w.record.Back:
		return errors.New("its restart has not begun")
	case u.State != Ready:
		return errors.New(describe(u))
	case w.Health != nil:
		return w.Health.Healthy(ctx, u)
	}
	return nil
}

func (w *work) late(why error) error {
	if why == nil {
		why = errors.New("its processes do not stay the same ones")
	}
	err := fmt.Errorf("it is not healthy after %v: %w", w.limits.Unit, why)
	if hint := fault.HintOf(why); hint == "" {
		err = fault.WithHint(err, "see the log of its nodes")
	}
	return unreachable(err)
}

// instances are the processes of a unit as one text.
func instances(u Unit) string {
	all := make([]string, len(u.Nodes))
	for i, n := range u.Nodes {
		all[i] = n.Instance
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// look is Look that outlasts an orchestrator that is away for a while.
func (w *work) look(ctx context.Context, unit string) (Unit, error) {
	for deadline := time.Now().Add(w.limits.Unit); ; {
		u, err := w.Orchestrator.Look(ctx, unit)
		if err == nil || ctx.Err() != nil {
			return u, ctx.Err()
		}
		if !errors.Is(err, ErrUnreachable) || !time.Now().Before(deadline) {
			return u, gone(err)
		}
		if err := w.between(ctx, false); err != nil {
			return u, err
		}
	}
}

func gone(err error) error {
	if errors.Is(err, ErrGone) {
		return fault.WithHint(err,
			"it was removed or renamed meanwhile: bring it back, or go on without it with --skip UNIT")
	}
	return unreachable(err)
}

// between is the pause between two looks, which a request ends. A pause is heeded where nothing is half-done.
func (w *work) between(ctx context.Context, pausable bool) error {
	if err := w.asked(ctx, pausable); err != nil {
		return err
	}
	return pause.For(ctx, w.limits.Poll)
}

// asked heeds a request. A journal that cannot be read just then says nothing.
func (w *work) asked(ctx context.Context, pausable bool) error {
	switch r, err := w.Journal.Asked(ctx, w.Fleet); {
	case err != nil:
	case r == Abort:
		return errAborted
	case r == Pause && pausable:
		return errPaused
	}
	return ctx.Err()
}

// errJournal tells that progress cannot be put on record: nothing more may be done then.
var errJournal = errors.New("keeping the record of the restart")

// enter puts a phase on record and tells of it.
func (w *work) enter(ctx context.Context, s *Step, p Phase) error {
	s.Phase = p
	if err := w.save(ctx); err != nil {
		return err
	}
	w.tell(s, "%s", p)
	return nil
}

func (w *work) save(ctx context.Context) error {
	w.record.Changed = time.Now().UTC()
	if err := w.Journal.Save(ctx, *w.record); err != nil {
		return fmt.Errorf("%w: %w", errJournal, err)
	}
	return nil
}
