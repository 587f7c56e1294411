// Package rotation replaces a proxy token without a gap: create → set → test → finish.
//
// Each step is idempotent and on record before the next begins, so that a rotation survives a crash at any point and goes on
// where it was. The old generation is accepted until the overlap after the last step is over. What can be rolled back is:
// before a consumer may hold the new value, a failed rotation drops it; after that, both stay valid and the next run goes on.
//
// Invariant: at every moment each value that a consumer may hold is accepted (until somebody revokes it).
package rotation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// Step is how far a rotation is: the step that comes next.
type Step string

// The steps after create.
const (
	StepProbe  Step = "probe"  // does the gate take the new value?
	StepSet    Step = "set"    // write it where the consumer reads it
	StepTest   Step = "test"   // once more, as the consumer would
	StepFinish Step = "finish" // let the overlap run
)

// Tokens makes and ends generations; a pending one is accepted like the current one.
type Tokens interface {
	// Begin makes the pending next generation.
	Begin(ctx context.Context, name string) (value secret.Value, id string, err error)
	// Finish makes it the current one; older ones end after overlap. Idempotent.
	Finish(ctx context.Context, id string, overlap time.Duration) error
	// Abort drops a pending one. Idempotent.
	Abort(ctx context.Context, id string) error
	// Pending returns the id of the pending generation of name, or "".
	Pending(ctx context.Context, name string) (string, error)
}

// Consumer is where a token is used. Set writes the new value there; it is idempotent.
type Consumer interface {
	Set(ctx context.Context, value secret.Value) (note string, err error)
}

// Refusal is implemented by errors of Set after which the consumer certainly still has the old value.
type Refusal interface{ Refused() bool }

// Probe makes a call through the gate with a value.
type Probe func(ctx context.Context, value secret.Value) error

// Plan is one rotation.
type Plan struct {
	Name     string
	Overlap  time.Duration
	Consumer Consumer // nil: the new value is handed to the caller of Run
	Probe    Probe    // nil: not tested
}

// Result is what a rotation did.
type Result struct {
	Value   secret.Value // only when there was no consumer to give it to
	ID      string       // of the new generation
	Note    string       // what the consumer said
	Resumed bool         // it went on with an unfinished one
}

// ErrInProgress is wrapped when another process is rotating this token right now.
var ErrInProgress = errors.New("a rotation of this token is in progress")

// Runner runs rotations, one per token at a time over all processes on the database.
type Runner struct {
	Tokens  Tokens
	Journal *Journal
}

// Run rotates, or goes on with an unfinished rotation.
func (r *Runner) Run(ctx context.Context, p Plan) (Result, error) {
	e, resumed, err := r.enter(ctx, p.Name)
	if err != nil {
		return Result{}, fmt.Errorf("rotating token %q: %w", p.Name, err)
	}
	result := Result{ID: e.ID, Resumed: resumed}
	if p.Consumer == nil {
		result.Value = e.Value
	}
	for e.Step != "" {
		note, err := r.step(ctx, p, e)
		if err != nil {
			return Result{}, fmt.Errorf("rotating token %q: %w", p.Name, r.failed(ctx, e, err))
		}
		if note != "" {
			result.Note = note
		}
	}
	return result, nil
}

// enter takes the rotation of name: a new one, or one that was left unfinished.
func (r *Runner) enter(ctx context.Context, name string) (e *Entry, resumed bool, err error) {
	e, err = r.Journal.claim(ctx, name)
	if err != nil {
		return nil, false, err
	}
	if e.ID != "" {
		return e, true, nil
	}
	// A pending generation that the journal does not know was made right before a crash: nobody holds it.
	orphan, err := r.Tokens.Pending(ctx, name)
	if err == nil && orphan != "" {
		err = r.Tokens.Abort(ctx, orphan)
	}
	if err == nil {
		e.Value, e.ID, err = r.Tokens.Begin(ctx, name)
	}
	if err == nil {
		e.Step = StepProbe
		err = r.Journal.save(ctx, e, nil)
	}
	if err != nil {
		return nil, false, errors.Join(err, r.Journal.drop(context.WithoutCancel(ctx), name))
	}
	return e, false, nil
}

// step does e's step and moves it on.
func (r *Runner) step(ctx context.Context, p Plan, e *Entry) (note string, err error) {
	next := map[Step]Step{StepProbe: StepSet, StepSet: StepTest, StepTest: StepFinish}[e.Step]
	switch e.Step {
	case StepProbe, StepTest:
		if p.Probe != nil {
			err = p.Probe(ctx, e.Value)
		}
	case StepSet:
		if p.Consumer != nil {
			note, err = p.Consumer.Set(ctx, e.Value)
		}
	case StepFinish:
		err = r.Tokens.Finish(ctx, e.ID, p.Overlap)
	default:
		err = fmt.Errorf("the journal has the unknown step %q", e.Step)
	}
	if err != nil {
		return "", err
	}
	if e.Step = next; next == "" {
		return note, r.Journal.drop(ctx, p.Name)
	}
	return note, r.Journal.save(ctx, e, nil)
}

// failed rolls back while no consumer can hold the new value, and keeps both values valid otherwise.
func (r *Runner) failed(ctx context.Context, e *Entry, cause error) error {
	ctx = context.WithoutCancel(ctx)
	var refusal Refusal
	untouched := e.Step == StepProbe || e.Step == StepSet && errors.As(cause, &refusal) && refusal.Refused()
	if !untouched {
		err := r.Journal.save(ctx, e, cause)
		return errors.Join(fault.WithHint(cause, orOwn(cause, "both the old and the new value are accepted; run the rotation again to go on with it, or `sallyport rotation abort "+e.Name+"`")), err)
	}
	if err := errors.Join(r.Tokens.Abort(ctx, e.ID), r.Journal.drop(ctx, e.Name)); err != nil {
		return errors.Join(cause, err)
	}
	return fault.WithHint(fmt.Errorf("the old token stays in force: %w", cause), orOwn(cause, "mend the cause and rotate again"))
}

// orOwn keeps a nearer hint.
func orOwn(err error, hint string) string {
	if own := fault.HintOf(err); own != "" {
		return own
	}
	return hint
}

// Abort drops an unfinished rotation: the new value is refused from now on. The operator has made sure that no consumer
// holds it.
func (r *Runner) Abort(ctx context.Context, name string) error {
	id, err := r.Tokens.Pending(ctx, name)
	if err != nil {
		return fmt.Errorf("aborting the rotation of token %q: %w", name, err)
	}
	if id == "" {
		return fault.WithHint(fmt.Errorf("aborting the rotation of token %q: none is unfinished", name), "`sallyport rotation list` shows what there is")
	}
	return errors.Join(r.Tokens.Abort(ctx, id), r.Journal.drop(ctx, name))
}
