// Package rotation replaces a proxy token without a gap: create → set → test → finish.
//
// Each step is idempotent and on record before the next begins, so that a rotation survives a crash at any point and
// goes on where it was. The old generation is accepted until the overlap after the last step is over. What can be
// rolled back is: before a consumer may hold the new value, a failed rotation drops it; after that, both stay valid and
// the next run goes on.
//
// Invariant: at every moment each value that a consumer may hold is accepted (until someone revokes it).
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
	// Finish makes it the current one; older ones end after overlap. Idempotent. Errors: ErrOvertaken.
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

// ErrOvertaken is what Finish wraps when someone ended the new generation meanwhile.
var ErrOvertaken = errors.New("the new generation has ended")

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
	pending, err := r.Tokens.Pending(ctx, name)
	switch {
	case err != nil:
		return nil, false, errors.Join(err, r.release(context.WithoutCancel(ctx), e, err))
	case e.ID != "" && (e.ID == pending || e.Step == StepFinish):
		e.resumed = true
		return e, true, nil
	}
	// Of the unfinished one, if there was one, someone ended the new value: going on would hand a dead one to the
	// consumer.
	e, err = r.begin(ctx, name, pending)
	return e, false, err
}

// begin makes the next generation and puts it on record. A pending one that the journal does not know was made right
// before a crash: nobody holds it.
func (r *Runner) begin(ctx context.Context, name, orphan string) (e *Entry, err error) {
	e = &Entry{Name: name, Started: r.Journal.Now()}
	if orphan != "" {
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
		return nil, errors.Join(err, r.Journal.drop(context.WithoutCancel(ctx), name))
	}
	return e, nil
}

// release gives a claimed entry back as it was.
func (r *Runner) release(ctx context.Context, e *Entry, cause error) error {
	if e.ID == "" {
		return r.Journal.drop(ctx, e.Name)
	}
	return r.Journal.save(ctx, e, cause)
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
	if next == "" {
		err = r.Journal.drop(ctx, p.Name)
	}
	if err == nil {
		e.Step, e.resumed = next, false
	}
	if err != nil || next == "" {
		return note, err
	}
	return note, r.Journal.save(ctx, e, nil)
}

// failed rolls back while no consumer can hold the new value, and keeps both values valid otherwise.
func (r *Runner) failed(ctx context.Context, e *Entry, cause error) error {
	ctx = context.WithoutCancel(ctx)
	if errors.Is(cause, ErrOvertaken) {
		return errors.Join(cause, r.Journal.drop(ctx, e.Name)) // there is nothing to go on with
	}
	if !untouched(e, cause) {
		err := r.Journal.save(ctx, e, cause)
		return errors.Join(fault.WithHint(cause,
			orOwn(cause,
				"both the old and the new value are accepted; run the rotation again to go on with it, or `sallyport "+
					"rotation abort "+e.Name+"`")), err)
	}
	if err := errors.Join(r.Tokens.Abort(ctx, e.ID), r.Journal.drop(ctx, e.Name)); err != nil {
		return errors.Join(cause, err)
	}
	return fault.WithHint(fmt.Errorf("the old token stays valid: %w", cause),
		orOwn(cause, "mend the cause and rotate again"))
}

// untouched tells whether no consumer can hold the new value: none was given it yet, or the first attempt was refused.
// After an attempt without a clear answer a refusal proves nothing.
func untouched(e *Entry, cause error) bool {
	var refusal Refusal
	return e.Step == StepProbe || e.Step == StepSet && !e.resumed && errors.As(cause, &refusal) && refusal.Refused()
}

// orOwn keeps a nearer hint.
func orOwn(err error, hint string) string {
	if own := fault.HintOf(err); own != "" {
		return own
	}
	return hint
}

// Abort drops an unfinished rotation: the new value is refused from now on. The operator has made sure that no consumer
// holds it. ErrInProgress is wrapped while a process is at work on it.
func (r *Runner) Abort(ctx context.Context, name string) error {
	if err := r.abort(ctx, name); err != nil {
		return fmt.Errorf("aborting the rotation of token %q: %w", name, err)
	}
	return nil
}

func (r *Runner) abort(ctx context.Context, name string) error {
	e, err := r.Journal.take(ctx, name, nil)
	altered := errors.Is(err, ErrAltered)
	if err != nil && !altered {
		return err
	}
	pending, err := r.Tokens.Pending(ctx, name)
	if err == nil && pending != "" {
		err = r.Tokens.Abort(ctx, pending)
	}
	switch {
	case err != nil && e != nil:
		return errors.Join(err, r.release(context.WithoutCancel(ctx), e, err))
	case err != nil:
		return err
	case e == nil && pending == "" && !altered:
		return fault.WithHint(errors.New("none is unfinished"), "`sallyport rotation list` shows what there is")
	}
	return r.Journal.drop(ctx, name)
}
