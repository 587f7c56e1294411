package secrets

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/fault"
	"sallyport/internal/rotation/run"
)

// ErrBusy is returned while this process works on a run of the rotation already.
var ErrBusy = errors.New("this gate works on a run of it already")

// claim is what this process does with a rotation. Rotations.mu guards what changes in it.
type claim struct {
	ended     chan struct{}
	interrupt context.CancelCauseFunc // ends the step of a run that is under way; nil: it is no run

	changed chan struct{} // is closed when last changes
	last    run.Entry     // how the run stands; empty before it is on record
	err     error         // what came of it, once it has ended
	next    *claim        // takes its place: that of who has interrupted the run
}

func newClaim(interrupt context.CancelCauseFunc) *claim {
	return &claim{ended: make(chan struct{}), interrupt: interrupt, changed: make(chan struct{})}
}

// claim keeps two runs of one rotation in this process apart. release ends it. mine is one that has succeeded another;
// nil: none has.
func (r *Rotations) claim(name string, mine *claim, interrupt context.CancelCauseFunc) (*claim, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if mine != nil {
		mine.interrupt = interrupt
		return mine, nil
	}
	if r.busy[name] != nil {
		return nil, fault.WithExit(fault.WithHint(fmt.Errorf("rotating %q: %w", name, ErrBusy),
			"`sallyport rotation status "+name+"` shows how far it is"), fault.ExitLocked)
	}
	mine = newClaim(interrupt)
	r.busy[name] = mine
	return mine, nil
}

// succeed sees to it that nobody gets between a claim and the one that it returns. nil: another one has done so.
func (r *Rotations) succeed(name string, before *claim) *claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[name] != before || before.next != nil {
		return nil
	}
	before.next = newClaim(func(error) {}) // there is nothing to interrupt yet
	return before.next
}

// renounce gives up a claim that succeed has returned.
func (r *Rotations) renounce(name string, before, next *claim) {
	r.mu.Lock()
	before.next = nil
	there := r.busy[name] == next
	r.mu.Unlock()
	if there {
		r.release(name, next, run.Entry{}, nil)
	}
}

// release ends a claim, with what came of it.
func (r *Rotations) release(name string, mine *claim, e run.Entry, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine.last, mine.err = e, err
	delete(r.busy, name)
	if mine.next != nil {
		r.busy[name] = mine.next
	}
	close(mine.ended)
}

// show tells those who follow a run how it stands.
func (r *Rotations) show(mine *claim, e run.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine.last = e
	close(mine.changed)
	mine.changed = make(chan struct{})
}

// follow waits for the run that this process is at, if request names it, and returns what it comes to. again: another
// attempt is due, since what this process was at has ended and says nothing about the request. Otherwise err is busy.
func (r *Rotations) follow(ctx context.Context, name, request string, watch func(run.Entry), busy error) (
	e run.Entry, again bool, err error,
) {
	r.mu.Lock()
	its := r.busy[name]
	isRun := its != nil && its.interrupt != nil
	r.mu.Unlock()
	switch {
	case its == nil:
		return run.Entry{}, true, nil
	case !isRun:
		return run.Entry{}, false, busy
	}
	for {
		r.mu.Lock()
		now, changed := its.last, its.changed
		r.mu.Unlock()
		named := now.ID != "" && request != "" && now.Request == request
		if now.ID != "" && !named && !now.Ended() {
			return run.Entry{}, false, busy
		}
		if named && watch != nil {
			watch(now)
		}
		select {
		case <-changed:
		case <-its.ended:
			if !named || errors.Is(its.err, errAborting) {
				return run.Entry{}, true, nil
			}
			return its.last, false, its.err
		case <-r.stop.Done():
			return now, false, context.Cause(r.stop) //nolint:contextcheck // it ends all of them
		case <-ctx.Done():
			return now, false, ctx.Err()
		}
	}
}
