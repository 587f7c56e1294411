package run

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/pause"
	"sallyport/internal/secret"
)

// Engine works on runs. It is safe for concurrent use: the journal gives each run to one owner at a time.
type Engine struct {
	Journal *Journal
	Owner   string                               // this process, as people know it; never ""
	Now     func() time.Time                     // nil is time.Now
	Pause   func(context.Context, time.Duration) // between two attempts of a test; nil waits
	Notify  Notifier                             // may be nil
	Watch   func(Entry)                          // is told of each step as it is put on record; may be nil
	// Beat ticks while a step is done, each time for another lease; nil has a ticker
	Beat func(time.Duration) (tick <-chan time.Time, stop func())
}

// Request asks for a run.
type Request struct {
	// the caller's own name of it, such as a CI job's id: asking twice is one run. "": go on with what is unfinished,
	// or begin
	Run   string
	Actor string // for the record
	// is asked in the transaction that begins a new run, and not about one that is unfinished; nil: nobody has to
	Permit Permit
}

// Permit returns who has approved of fresh, a run that is about to begin, or why it may not begin. What it changes in
// tx stays only if the run does begin; kept is called then, unless it is nil.
type Permit func(ctx context.Context, tx *sql.Tx, fresh Entry) (approved []string, kept func(), err error)

// Rotate begins a run, or goes on with the unfinished one, until it has ended or has to wait. The entry tells how it
// stands, also beside an error; it is empty where no run was begun.
func (g *Engine) Rotate(ctx context.Context, p *Plan, r Request) (Entry, error) {
	_, version, err := p.Secret.Current(ctx)
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return Entry{}, fmt.Errorf("rotating %q: reading the current version: %w", p.Name, err)
	}
	fresh := &Entry{
		ID: newID(), Name: p.Name, Request: r.Run, State: StateRunning, Step: StepCreate, Actor: r.Actor,
		OldVersion: version, Started: g.now(), Owner: g.Owner, Files: p.Files,
	}
	e, err := g.Journal.enter(ctx, fresh, r.Permit)
	if err != nil {
		return Entry{}, fmt.Errorf("rotating %q: %w", p.Name, err)
	}
	if e == fresh {
		g.tell(ctx, e, NoticeBegan, "rotation "+e.Name+" has begun")
	}
	return g.finish(ctx, p, e)
}

// Resume goes on with the unfinished run of a plan. Without one the entry is empty.
func (g *Engine) Resume(ctx context.Context, p *Plan) (Entry, error) {
	e, err := g.Journal.take(ctx, p.Name, g.Owner)
	if err != nil {
		return Entry{}, fmt.Errorf("rotating %q: %w", p.Name, err)
	}
	if e == nil {
		return Entry{}, nil
	}
	return g.finish(ctx, p, e)
}

// Abort takes the unfinished run back, as far as there is a way back: not once its version is current.
func (g *Engine) Abort(ctx context.Context, p *Plan, actor string) (Entry, error) {
	e, err := g.Journal.take(ctx, p.Name, g.Owner)
	switch {
	case err != nil:
	case e == nil:
		err = fault.WithHint(errors.New("no run of it is unfinished"),
			"`sallyport rotation history "+p.Name+"` shows those that have ended")
	case e.Finished():
		err = errors.Join(TooLate(e), g.Journal.release(ctx, e))
	}
	if err != nil {
		return Entry{}, fmt.Errorf("aborting the rotation of %q: %w", p.Name, err)
	}
	e.Aborted, e.Step, e.Tries = actor, StepUndo, 0
	return g.finish(ctx, p, e)
}

// TooLate is why a run whose version is current is not taken back.
func TooLate(e *Entry) error {
	return fault.WithHint(fmt.Errorf("version %s is current already, and the old key may be ended", e.NewVersion),
		"rotate again for another value; `sallyport rotation status "+e.Name+
			"` says what the old key is still needed for")
}

// finish works until the run has ended or has to wait, and gives it back.
func (g *Engine) finish(ctx context.Context, p *Plan, e *Entry) (Entry, error) {
	var err error
	asked := e.LastError
	if !e.Ended() {
		for _, file := range p.Files {
			if !slices.Contains(e.Files, file) {
				e.note(file.Path + " is another than when the run began")
			}
		}
		err = (&work{g: g, p: p, e: e, can: p.Driver.Capabilities()}).run(ctx)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("rotating %q: %w", p.Name, err)
	case e.State == StateRolledBack && asked != "":
		err = fmt.Errorf("rotating %q: %w", p.Name,
			fault.WithHint(errors.New("it was rolled back: "+e.LastError), e.Hint))
	}
	return *e, err
}

func (g *Engine) now() time.Time {
	if g.Now != nil {
		return g.Now().UTC()
	}
	return time.Now().UTC()
}

func (g *Engine) pause(ctx context.Context, d time.Duration) {
	if g.Pause != nil {
		g.Pause(ctx, d)
		return
	}
	_ = pause.For(ctx, d) // who called looks at ctx
}

// newID is 20 letters and digits, 100 bits.
func newID() string { return strings.ToLower(rand.Text())[:20] }

// work is one process's work on a run.
type work struct {
	g   *Engine
	p   *Plan
	e   *Entry
	can driver.Capabilities
}

// run does step after step. Each is on record before it begins, and the next one once it has ended.
func (w *work) run(ctx context.Context) error {
	var why error // of the way back
	for !w.e.Ended() {
		waits, err := w.once(ctx)
		switch {
		case err == nil && waits:
			return w.keep(ctx, nil)
		case err == nil:
			continue
		case errors.Is(err, ErrTaken), errors.Is(err, ErrForged):
			return err // it is another process's, and so is the record
		case errors.Is(err, errLapsed):
			return w.keep(ctx, err) // it may be another process's
		case ctx.Err() != nil:
			return w.keep(ctx, errors.Join(err, context.Cause(ctx))) // someone ended this process, and not the run
		case w.e.Finished(), w.e.Step == StepUndo, w.e.State == StateStuck:
			return w.keep(ctx, err)
		}
		if turned := w.turnBack(ctx, err); turned != nil {
			return turned
		}
		why = fault.WithHint(err, w.e.Hint)
	}
	return why
}

// once puts the step on record, does it, and puts the next one on record. waits tells that nothing can be done now.
func (w *work) once(ctx context.Context) (waits bool, err error) {
	step := w.step()
	if step == nil {
		return false, w.stuck(fmt.Errorf("the journal has the unknown step %q", w.e.Step),
			"run the newest Sallyport that has worked on it")
	}
	w.e.Tries++
	w.e.State = StateRunning
	if err := w.save(ctx); err != nil {
		return false, err
	}
	next, err := w.hold(ctx, step)
	if err != nil {
		return false, err
	}
	if next == w.e.Step {
		return true, nil
	}
	w.e.Step, w.e.Tries = next, 0
	if next != StepUndo && !w.e.Ended() {
		w.e.LastError, w.e.Hint = "", ""
	}
	err = w.save(ctx)
	if err == nil && w.e.State == StateDone {
		w.g.tell(ctx, w.e, NoticeDone, "rotation "+w.e.Name+" is done: version "+w.e.NewVersion+" is current")
	}
	return false, err
}

func (w *work) step() func(context.Context) (next Step, err error) {
	return map[Step]func(context.Context) (Step, error){
		StepCreate: w.create, StepSet: w.set, StepTest: w.test, StepPromote: w.promote,
		StepSpread: w.spread, StepRestart: w.restart, StepRetire: w.retire, StepUndo: w.undo,
	}[w.e.Step]
}

func (w *work) save(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	save := w.g.Journal.save
	if w.e.Ended() {
		w.e.Value = secret.Value{}
		save = w.g.Journal.release
	}
	if err := save(ctx, w.e); err != nil {
		return err
	}
	if w.g.Watch != nil {
		w.g.Watch(*w.e)
	}
	return nil
}

// keep gives an unfinished run back, with what went wrong.
func (w *work) keep(ctx context.Context, cause error) error {
	before := w.e.LastError
	w.failed(cause)
	if err := w.g.Journal.release(context.WithoutCancel(ctx), w.e); err != nil {
		return errors.Join(cause, err)
	}
	if w.g.Watch != nil {
		w.g.Watch(*w.e)
	}
	if cause != nil && w.e.LastError != before && ctx.Err() == nil { // who ends a process, or a run, knows of it
		kind := NoticeFailed
		if w.e.State == StateStuck {
			kind = NoticeStuck
		}
		w.g.tell(ctx, w.e, kind, "rotation "+w.e.Name+" stands at step "+string(w.e.Step)+": "+w.e.LastError)
	}
	if cause != nil {
		cause = fault.WithHint(cause, w.e.Hint)
	}
	return cause
}

// maxCause bounds what is kept of an error, in bytes.
const maxCause = 4096

func (w *work) failed(cause error) {
	if cause == nil {
		return
	}
	text := strings.ToValidUTF8(strings.ReplaceAll(cause.Error(), "\x00", ""), "")
	w.e.LastError = strings.ToValidUTF8(text[:min(len(text), maxCause)], "")
	if w.e.Hint = fault.HintOf(cause); w.e.Hint == "" {
		w.e.Hint = "the run goes on where it stands: mend the cause and run `sallyport rotate " + w.e.Name + "` again"
	}
}

// stuck marks the run as one that a person has to look at.
func (w *work) stuck(err error, hint string) error {
	w.e.State = StateStuck
	return fault.WithHint(err, hint)
}

// job is what the driver is told.
func (w *work) job(ctx context.Context) (driver.Job, error) {
	current, _, err := w.p.Secret.Current(ctx)
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return driver.Job{}, fmt.Errorf("reading the current version: %w", err)
	}
	return driver.Job{Rotation: w.e.Name, Run: w.e.ID, Current: current, OldKey: w.e.OldKey}, nil
}
