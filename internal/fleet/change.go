package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Restart restarts the fleet for a reason that stands for one change, such as a new version of a secret: who was ended
// in between calls it again, and it goes on with the unfinished restart for that reason. Where that was the last one,
// and is complete, there is nothing to do. An unfinished restart for another such reason is superseded, for this one
// has every node take the newest of all that they take when they start. What a person has paused or begun is theirs:
// ErrUnfinished.
//
// Units that change just then, because of another user's deployment, are waited for.
func (r *Roller) Restart(ctx context.Context, reason string) error {
	last, err := r.Journal.Load(ctx, r.Fleet)
	if err != nil || last.did(reason) {
		return err
	}
	_, err = r.locked(ctx, func(last Record) (*Record, error) {
		switch {
		case last.did(reason):
			return nil, nil //nolint:nilnil // nothing is to be done, which locked knows
		case last.Unfinished() && last.Status != Paused && last.Reason == reason && !last.Back:
			last.Status, last.Error, last.Hint = Running, "", ""
			return &last, nil
		case last.Unfinished() && !last.supersedable():
			return nil, unfinished(last)
		}
		return r.change(ctx, last, reason)
	})
	return err
}

// did tells whether it was a restart for that reason, and is complete.
func (r *Record) did(reason string) bool {
	return r.Status == Complete && r.Reason == reason && reason != "" && !r.Back
}

// supersedable tells whether another restart may do its work. One that ended at a proof is not: it says that something
// is wrong with what the nodes take, and further nodes must not take it.
func (r *Record) supersedable() bool {
	proving := func(s Step) bool { return s.Phase == Proving }
	return r.Change && !r.Back && r.Status != Paused && !slices.ContainsFunc(r.Steps, proving)
}

// change is a new restart of every unit, and says what becomes of the one before.
func (r *Roller) change(ctx context.Context, last Record, reason string) (*Record, error) {
	next := &Record{
		ID: newID(), Fleet: r.Fleet, Reason: reason, Change: true, Status: Running, Began: time.Now().UTC(),
	}
	before := make(map[string]Step)
	if last.Unfinished() {
		next.Supersedes = &Superseded{ID: last.ID, Reason: last.Reason, Status: last.Status, Error: last.Error}
		for _, s := range last.Steps {
			before[s.Unit] = s
		}
	}
	units, err := r.whole(ctx, func(u Unit) bool { return before[u.Name].halfDone() })
	if err != nil {
		return nil, err
	}
	// What was left half-done may be down, and comes first: no other is taken down meanwhile.
	slices.SortStableFunc(units, func(a, b Unit) int {
		return rank(before[a.Name].halfDone()) - rank(before[b.Name].halfDone())
	})
	for _, u := range units {
		step := Step{Unit: u.Name, Phase: Waiting}
		if s := before[u.Name]; s.touched() {
			step.Earlier, step.Revision = true, s.Revision
		}
		next.Steps = append(next.Steps, step)
	}
	if next.Supersedes != nil {
		r.say(len(units), "it supersedes the restart for %q, which was %s", last.Reason, last.Status)
	}
	return next, nil
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// whole returns the units once none changes, apart from those in except, or after the limit of a unit. One that is
// failed, or changes still, is an error.
func (r *Roller) whole(ctx context.Context, except func(Unit) bool) ([]Unit, error) {
	if err := r.Journal.Ask(ctx, r.Fleet, NoRequest); err != nil {
		return nil, err
	}
	w := &work{Roller: r, limits: r.Limits.orDefaults(), record: &Record{Fleet: r.Fleet}}
	told := ""
	for deadline := time.Now().Add(w.limits.Unit); ; {
		units, err := r.list(ctx)
		var looked []Unit
		for _, u := range units {
			if !except(u) {
				looked = append(looked, u)
			}
		}
		failed := slices.ContainsFunc(looked, func(u Unit) bool { return u.State == Failed })
		bad := healthyBefore(looked)
		switch away := errors.Is(err, ErrUnreachable) && told != ""; {
		case err != nil && !away:
			return nil, err
		case err == nil && bad == nil:
			return units, nil
		case failed, !time.Now().Before(deadline):
			return nil, errors.Join(err, bad)
		case err == nil && changing(looked) != told:
			told = changing(looked)
			r.say(len(units), "waiting before anything is done: %s", told)
		}
		if err := w.between(ctx, true); err != nil {
			if errors.Is(err, errPaused) || errors.Is(err, errAborted) {
				err = interrupted(fmt.Errorf("nothing was begun: %w", err), "begin it again when it may go on")
			}
			return nil, err
		}
	}
}

func changing(units []Unit) string {
	var texts []string
	for _, u := range units {
		if u.State == Changing {
			texts = append(texts, describe(u))
		}
	}
	return strings.Join(texts, "; ")
}

// say tells of what is before the first step.
func (r *Roller) say(units int, format string, args ...any) {
	if r.Tell != nil {
		r.Tell(Event{Time: time.Now(), Fleet: r.Fleet, Total: units, Text: fmt.Sprintf(format, args...)})
	}
}
