package app

import (
	"context"
	"fmt"

	"sallyport/internal/audit"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/plan"
	"sallyport/internal/rotation/run"
	"sallyport/internal/rotation/secrets"
)

// turns are the rotations of secrets as people begin them: who it is, and whether enough others have approved.
type turns struct {
	rotations *secrets.Rotations
	approvals *approval.Approvals
	record    func(ctx context.Context, ev *audit.Event) error
}

func (a *App) newTurns() *turns {
	return &turns{rotations: a.secrets, approvals: a.state.planApprovals(), record: a.audit.Admin}
}

// Plan implements rotor.
func (t *turns) Plan(ctx context.Context, name string) (*plan.Plan, error) {
	return t.rotations.Plan(ctx, name)
}

// Approve implements rotor.
func (t *turns) Approve(ctx context.Context, name, hash string, by approval.Person) (approval.Approval, error) {
	p, err := t.rotations.Plan(ctx, name)
	if err != nil {
		return approval.Approval{}, err
	}
	if p.Does.Approve == 0 {
		return approval.Approval{}, fault.WithExit(fault.WithHint(
			fmt.Errorf("approving of the rotation %q: it needs no approval", name),
			"set `approve` of the rotation to the number of people"), fault.ExitUsage)
	}
	if err := t.record(ctx, &audit.Event{
		Actor: by.Name, Action: "rotation.approve", Subject: name, Detail: "plan " + shortened(hash),
	}); err != nil {
		return approval.Approval{}, err
	}
	given, err := t.approvals.Give(ctx, p, hash, by)
	if err == nil {
		t.rotations.Again(name)
	}
	return given, err
}

// shortened keeps what a caller sends for a hash from filling the record.
func shortened(hash string) string { return hash[:min(len(hash), plan.HashLen)] }

// Act implements rotor.
func (t *turns) Act(ctx context.Context, one turn, watch func(run.Entry)) (run.Entry, error) {
	name, by := one.name, one.by
	switch one.act {
	case ActRotate:
		return t.rotations.RotateBy(ctx, name, run.Request{Run: one.Run, Actor: by.Name}, &by, watch)
	case ActResume:
		e, err := t.rotations.Resume(ctx, name, watch)
		if err == nil && e.ID == "" {
			err = fault.WithHint(fmt.Errorf("rotating %q: no run of it is unfinished", name),
				"`sallyport rotate "+name+"` begins one")
		}
		return e, err
	case ActForward:
		return t.rotations.Forward(ctx, name, by.Name, watch)
	case ActAbort:
		return t.rotations.Abort(ctx, name, by.Name, watch)
	}
	return run.Entry{}, fmt.Errorf("rotating %q: the gate does not know how to %q", name, one.act)
}
