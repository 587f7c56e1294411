package fleet

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Phase is how far a step has come. Each is on record before what it names is begun.
type Phase string

// The phases, in their order.
const (
	Waiting    Phase = "waiting"    // nothing was done
	Draining   Phase = "draining"   // executions are waited for
	Restarting Phase = "restarting" // the orchestrator may have been told
	Settling   Phase = "settling"   // it was told; the nodes are waited for
	Proving    Phase = "proving"    // the nodes are healthy
	Done       Phase = "done"
	Skipped    Phase = "skipped" // the unit was stopped, or its restart was given up by a person
)

// over tells whether there is nothing left to do.
func (p Phase) over() bool { return p == Done || p == Skipped }

// Step is one unit's part of a restart.
type Step struct {
	Unit     string    `json:"unit"`
	Phase    Phase     `json:"phase"`
	Before   string    `json:"before,omitempty"`   // the generation that the unit had
	Revision string    `json:"revision,omitempty"` // the way back
	Earlier  bool      `json:"earlier,omitempty"`  // a superseded restart has restarted it; Revision is of before
	Began    time.Time `json:"began,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
}

// halfDone tells whether the unit's restart was begun and has not come to its end.
func (s Step) halfDone() bool {
	return s.Phase == Restarting || s.Phase == Settling || s.Phase == Proving
}

// touched tells whether the unit may run something else than before the restart, or before one that it supersedes.
func (s Step) touched() bool {
	return s.halfDone() || s.Phase == Done || s.Earlier && s.Phase != Skipped
}

// Status is how a restart is as a whole.
type Status string

// The statuses.
const (
	Running  Status = "running"  // a process works on it, or has been ended while it did
	Paused   Status = "paused"   // a person asked for that; nothing is half-done
	Broken   Status = "failed"   // a step failed; the ones after it were not begun
	Aborted  Status = "aborted"  // a person asked for that; the rest is not done any more
	Complete Status = "complete" // every unit was restarted, or brought back
)

// over tells whether another restart may begin.
func (s Status) over() bool { return s == Complete || s == Aborted }

// Record is what there is to know of a restart. It holds no secret.
type Record struct {
	ID      string    `json:"id"`
	Fleet   string    `json:"fleet"`
	Reason  string    `json:"reason"`
	Back    bool      `json:"back,omitempty"` // it brings units back that a restart had changed
	Status  Status    `json:"status"`
	Began   time.Time `json:"began"`
	Changed time.Time `json:"changed"`
	Steps   []Step    `json:"steps"`
	Error   string    `json:"error,omitempty"` // why it is failed
	Hint    string    `json:"hint,omitempty"`

	// Change tells that Restart began it, for one change of many that the nodes take when they start: a newer one does
	// its work too.
	Change     bool        `json:"change,omitempty"`
	Supersedes *Superseded `json:"supersedes,omitempty"` // the unfinished one whose work it does too
}

// Superseded is what is kept of a restart that did not come to its end, and whose work another one does.
type Superseded struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	Status Status `json:"status"`          // what it was
	Error  string `json:"error,omitempty"` // why it was failed
}

// Unfinished tells whether there is something to go on with.
func (r *Record) Unfinished() bool { return r.ID != "" && !r.Status.over() }

// judge refuses a record that this package has not written: a step in a phase that is not known would be passed over as
// if it had been done.
func (r *Record) judge(fleet string) error {
	statuses := []Status{Running, Paused, Broken, Aborted, Complete}
	phases := []Phase{Waiting, Draining, Restarting, Settling, Proving, Done, Skipped}
	sound := r.Fleet == fleet && r.ID != "" && slices.Contains(statuses, r.Status)
	for _, s := range r.Steps {
		sound = sound && s.Unit != "" && slices.Contains(phases, s.Phase)
	}
	if !sound {
		return errors.New("it is not one of this fleet and this version")
	}
	return nil
}

// Request is what a person asks of a restart that another process works on.
type Request string

// The requests.
const (
	NoRequest Request = ""
	Pause     Request = "pause"
	Abort     Request = "abort"
)

// Journal keeps the last restart of each fleet. What Save has returned from is there after a crash. It is safe for
// concurrent use, also by several processes.
type Journal interface {
	// Load returns the last record of a fleet; the zero Record when there is none.
	Load(ctx context.Context, fleet string) (Record, error)
	// Save replaces it. The caller holds the fleet's lock.
	Save(ctx context.Context, r Record) error
	// Lock makes the caller the only one that works on a fleet until unlock is called or the process ends. ErrWorking:
	// another one does.
	Lock(ctx context.Context, fleet string) (unlock func(), err error)
	// Ask leaves a request; NoRequest takes one back. Asked reads it.
	Ask(ctx context.Context, fleet string, r Request) error
	Asked(ctx context.Context, fleet string) (Request, error)
}

// ErrWorking tells that another process works on the fleet.
var ErrWorking = errors.New("another process restarts this fleet")
