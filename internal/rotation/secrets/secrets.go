// Package secrets carries out the rotations of the configuration: it makes of each what a run needs, begins those that
// are due, and goes on with those that are unfinished, whoever began them.
//
// The steps are package rotation/run's, and when a run is due is package schedule's. What only a running gate can do
// comes in as fields of Options; it names no adapter.
//
// Invariant: of one rotation one run is worked on at a time in this process, and the journal sees to it that this holds
// for all processes. A run that is unfinished is seen to by any gate that has its rotation in the configuration.
package secrets

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/config"
	"sallyport/internal/config/wording"
	"sallyport/internal/database"
	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/evidence"
	"sallyport/internal/rotation/plan"
	"sallyport/internal/rotation/poll"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
)

// Options are what Rotations need of the gate that they run in.
type Options struct {
	Config   func() *config.Config // the active one
	Journal  *run.Journal
	Poll     *poll.Poll
	Evidence *evidence.Counter
	Members  func(ctx context.Context) ([]database.Member, error)

	Replica string // the id of this process among the replicas
	Owner   string // this process, as people know it; it ends with "/" and Replica
	Environ []string

	// Store opens a store of the configuration.
	Store func(ctx context.Context, name string) (secret.Store, error)
	// Resolve reads what a reference names now.
	Resolve func(ctx context.Context, ref secret.Ref) (secret.Value, error)
	// Changed has all replicas read a store's secrets again, this one before it returns.
	Changed func(ctx context.Context, store string) error
	// Refresh reads a store's secrets again in this process. When it returns, requests use them.
	Refresh func(ctx context.Context, store string) error
	// Held is the version in use here of what a reference names. ok: there is one.
	Held func(ref secret.Ref) (version string, ok bool)
	// Label is what the audit log calls a version of a secret.
	Label func(ref secret.Ref, version string) string
	// Do calls a service with its credential, for a driver.
	Do func(ctx context.Context, by Caller, service string, req *http.Request) (*http.Response, error)
	// Try calls a service whose credential is made with a value in the place of a secret.
	Try func(ctx context.Context, by Caller, service string, what Tried, req *http.Request) (*http.Response, error)
	// Restart restarts a fleet, for a reason that stands for one version.
	Restart func(ctx context.Context, fleet, reason string) error
	// Record puts on record what is about to be done.
	Record func(ctx context.Context, ev *audit.Event) error

	Notify run.Notifier // may be nil
	// Permit says whether a run of a plan may begin that starter begins, or its schedule: nil. Without it none begins
	// that needs approval.
	Permit   func(p *plan.Plan, starter *approval.Person) run.Permit
	Approved func(ctx context.Context, p *plan.Plan) []string // who has, to be shown; may be nil
	Panicked func(task string, w *fault.Panic)                // is told of a panic in the background

	Log *slog.Logger
	Now func() time.Time
}

// Caller is who makes a call, for the record.
type Caller struct{ Rotation, Run, Doing string }

// Tried is a value that stands in the place of a secret.
type Tried struct {
	Ref   secret.Ref
	Value secret.Value
}

// Rotations carries them out. It is safe for concurrent use. Run works in the background, Close ends it.
type Rotations struct {
	o       Options
	wake    chan struct{}
	asked   chan struct{}
	started time.Time

	mu      sync.Mutex
	known   map[string]*config.Rotation // also those that the configuration has no more
	busy    map[string]*claim
	failed  map[string]failure // of what the background tried
	firsts  map[string]first
	shown   []Status // a few seconds old
	ended   map[ending]int
	running guard.Group
	stop    context.Context //nolint:containedctx // ends what a caller may leave behind
	end     context.CancelCauseFunc
}

type failure struct {
	text     string
	approval bool // nothing is wrong: it waits until people have approved
	times    int
	at, next time.Time
}

type ending struct {
	rotation string
	state    run.State
}

// New returns them.
func New(o Options) *Rotations {
	r := &Rotations{
		o: o, wake: make(chan struct{}, 1), asked: make(chan struct{}, 1), started: o.Now(),
		known: make(map[string]*config.Rotation), busy: make(map[string]*claim), failed: make(map[string]failure),
		firsts: make(map[string]first), ended: make(map[ending]int),
	}
	r.stop, r.end = context.WithCancelCause(context.Background()) //nolint:forbidigo // Close ends it
	return r
}

// Close ends what is under way, and waits for it. A run goes on where it stands at the next start.
func (r *Rotations) Close() {
	r.end(errStopping)
	r.running.Wait()
}

// errStopping is why a run is left where it stands.
var errStopping = errors.New("this gate is stopping; the run goes on at the next start, or at another replica")

// both has the values of one context, and ends with another.
type both struct {
	context.Context //nolint:containedctx // it is one

	life context.Context //nolint:containedctx // it is one
}

// Deadline implements context.Context.
func (b both) Deadline() (time.Time, bool) { return b.life.Deadline() }

// Done implements context.Context.
func (b both) Done() <-chan struct{} { return b.life.Done() }

// Err implements context.Context.
func (b both) Err() error { return b.life.Err() }

// Value implements context.Context. What the package context asks for is who ends it.
func (b both) Value(key any) any {
	if v := b.life.Value(key); v != nil {
		return v
	}
	return b.Context.Value(key)
}

// Names are the rotations of the configuration, sorted.
func (r *Rotations) Names() []string { return r.o.Config().RotationNames() }

// spec is a rotation of the active configuration, or as it was before it was taken out.
func (r *Rotations) spec(name string) (*config.Rotation, error) {
	c := r.o.Config()
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(r.known, c.Rotations)
	if one := c.Rotations[name]; one != nil {
		return one, nil
	}
	if one := r.known[name]; one != nil {
		return one, nil
	}
	hint := "none is configured: docs/configuration.md has the keys of rotations"
	if names := c.RotationNames(); len(names) > 0 {
		hint = "there are " + strings.Join(names, ", ")
		if near := wording.Nearest(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
	}
	return nil, fault.WithExit(fault.WithHint(fmt.Errorf("there is no rotation %q in the configuration", name), hint),
		fault.ExitUsage)
}

// removed says of a rotation that the configuration has no longer what to do about its unfinished run. Which driver
// made its key, and how, the configuration alone says.
func (r *Rotations) removed(ctx context.Context, name string, unknown error) error {
	runs, err := r.o.Journal.List(ctx)
	if err != nil {
		return unknown
	}
	runs = slices.DeleteFunc(runs, func(e run.Entry) bool { return e.Name != name })
	e := unfinished(runs)
	if e == nil {
		return unknown
	}
	return fault.WithHint(fmt.Errorf("rotating %q: its run %s is unfinished, at step %s, and the configuration has "+
		"the rotation no longer", name, e.ID, e.Step),
		"put rotations."+name+" back as it was and reload; then `sallyport rotation abort "+name+
			"` takes the run back, or `sallyport rotation resume "+name+"` goes on; after that it can go")
}

// errAborting ends the step of a run that a person takes back.
var errAborting = errors.New("the run is being taken back")

// interrupt ends the step that this process is at, so that the run can be taken back: a step can take minutes. A run
// that cannot be taken back any more is not disturbed. It returns the claim that follows that of the run, or nil.
func (r *Rotations) interrupt(ctx context.Context, name string) (*claim, error) {
	r.mu.Lock()
	busy := r.busy[name]
	var interrupting context.CancelCauseFunc
	if busy != nil {
		interrupting = busy.interrupt
	}
	r.mu.Unlock()
	if busy == nil || interrupting == nil {
		return nil, nil //nolint:nilnil // nothing is in the way
	}
	runs, err := r.o.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	runs = slices.DeleteFunc(runs, func(e run.Entry) bool { return e.Name != name })
	if e := unfinished(runs); e != nil && e.Finished() {
		return nil, fmt.Errorf("aborting the rotation of %q: %w", name, run.TooLate(e))
	}
	next := r.succeed(name, busy)
	interrupting(errAborting)
	select {
	case <-busy.ended:
		return next, nil
	case <-ctx.Done():
		if next != nil {
			r.renounce(name, busy, next)
		}
		return nil, ctx.Err()
	}
}

// Rotate is RotateBy of nobody, such as a schedule.
func (r *Rotations) Rotate(ctx context.Context, name string, req run.Request,
	watch func(run.Entry),
) (run.Entry, error) {
	return r.RotateBy(ctx, name, req, nil, watch)
}

// RotateBy begins a run or goes on with the unfinished one, and returns when it has ended or has to wait. watch is told
// of each step; it may be nil. A caller that goes away does not end the run; Close does. A request that names the run
// which this process is at already gets what that comes to.
func (r *Rotations) RotateBy(ctx context.Context, name string, req run.Request, starter *approval.Person,
	watch func(run.Entry),
) (run.Entry, error) {
	if err := r.record(ctx, req.Actor, "rotation.run", name); err != nil {
		return run.Entry{}, err
	}
	for {
		e, err := r.work(ctx, name, watch, func(ctx context.Context, g *run.Engine, p *run.Plan,
			spec *config.Rotation,
		) (run.Entry, error) {
			req.Permit = r.permit(ctx, p, spec, starter)
			return g.Rotate(ctx, p, req)
		})
		if !errors.Is(err, ErrBusy) {
			return e, err
		}
		if e, again, err := r.follow(ctx, name, req.Run, watch, err); !again {
			return e, err
		}
	}
}

// permit is what a run of exactly p needs to begin. A plan that cannot be made keeps none from going on that has begun.
func (r *Rotations) permit(ctx context.Context, p *run.Plan, spec *config.Rotation,
	starter *approval.Person,
) run.Permit {
	c := r.o.Config()
	var whole *plan.Plan
	var err error
	switch {
	case c.Rotations[p.Name] == nil:
		err = fault.WithHint(errors.New("the configuration has it no longer"), "put it back, then rotate again")
	case c.Rotations[p.Name] != spec:
		err = fault.WithExit(fault.WithHint(fmt.Errorf("%w: another configuration is active since",
			approval.ErrChanged), "rotate again"), fault.ExitApproval)
	case spec.Approve == 0:
		return nil
	case r.o.Permit == nil:
		err = errors.New("its plan needs approval")
	default:
		if whole, err = r.planOf(ctx, c, spec, p); err == nil {
			return r.o.Permit(whole, starter)
		}
	}
	return func(context.Context, *sql.Tx, run.Entry) ([]string, func(), error) { return nil, nil, err }
}

// Resume goes on with the unfinished run. Without one the entry is empty.
func (r *Rotations) Resume(ctx context.Context, name string, watch func(run.Entry)) (run.Entry, error) {
	return r.work(ctx, name, watch, func(ctx context.Context, g *run.Engine, p *run.Plan,
		_ *config.Rotation,
	) (run.Entry, error) {
		return g.Resume(ctx, p)
	})
}

// Abort takes the unfinished run back, as far as there is a way back.
func (r *Rotations) Abort(ctx context.Context, name, actor string, watch func(run.Entry)) (run.Entry, error) {
	if err := r.record(ctx, actor, "rotation.abort", name); err != nil {
		return run.Entry{}, err
	}
	for {
		next, err := r.interrupt(ctx, name)
		if err != nil {
			return run.Entry{}, err
		}
		e, err := r.workBy(ctx, name, next, watch, func(ctx context.Context, g *run.Engine, p *run.Plan,
			_ *config.Rotation,
		) (run.Entry, error) {
			return g.Abort(ctx, p, actor)
		})
		if !errors.Is(err, ErrBusy) || !r.runs(name) {
			return e, err
		}
	}
}

// runs tells whether this process is at a run that can be interrupted: it may have been taken up again.
func (r *Rotations) runs(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy[name] != nil && r.busy[name].interrupt != nil
}

// Forward goes on with a run that is stuck because its old key is gone: the new value becomes current.
func (r *Rotations) Forward(ctx context.Context, name, actor string, watch func(run.Entry)) (run.Entry, error) {
	if err := r.record(ctx, actor, "rotation.forward", name); err != nil {
		return run.Entry{}, err
	}
	return r.work(ctx, name, watch, func(ctx context.Context, g *run.Engine, p *run.Plan,
		_ *config.Rotation,
	) (run.Entry, error) {
		return g.Forward(ctx, p)
	})
}

func (r *Rotations) record(ctx context.Context, actor, action, subject string) error {
	return r.o.Record(ctx, &audit.Event{Actor: cmp.Or(actor, "schedule"), Action: action, Subject: subject})
}

// work opens what a run needs, and has do work on it.
func (r *Rotations) work(ctx context.Context, name string, watch func(run.Entry),
	do func(context.Context, *run.Engine, *run.Plan, *config.Rotation) (run.Entry, error),
) (run.Entry, error) {
	return r.workBy(ctx, name, nil, watch, do)
}

// workBy is work by a claim that is there already, or by one of its own: nil.
func (r *Rotations) workBy(ctx context.Context, name string, mine *claim, watch func(run.Entry),
	do func(context.Context, *run.Engine, *run.Plan, *config.Rotation) (run.Entry, error),
) (e run.Entry, failed error) {
	ctx, interrupt := context.WithCancelCause(both{ctx, r.stop}) // who asked may go away
	defer interrupt(nil)
	mine, err := r.claim(name, mine, interrupt)
	if err != nil {
		return run.Entry{}, err
	}
	defer func() { r.release(name, mine, e, failed) }()
	spec, err := r.spec(name)
	if err != nil {
		return run.Entry{}, r.removed(ctx, name, err) //nolint:contextcheck // it is both
	}
	p, err := r.planned(ctx, name, spec) //nolint:contextcheck // it is both
	if err != nil {
		return run.Entry{}, fmt.Errorf("rotating %q: %w", name, err)
	}
	var last run.Entry
	e, err = do(ctx, r.engine(mine, watch, &last), p, spec) //nolint:contextcheck // it is both
	if e.Ended() && last.ID == e.ID {                       // here, and not before
		r.note(ctx, &e) //nolint:contextcheck // it is both
	}
	return e, err
}

func (r *Rotations) engine(mine *claim, watch func(run.Entry), last *run.Entry) *run.Engine {
	return &run.Engine{
		Journal: r.o.Journal, Owner: r.o.Owner, Now: r.o.Now, Notify: r.o.Notify,
		Watch: func(e run.Entry) {
			*last = e
			r.show(mine, e)
			if watch != nil {
				watch(e)
			}
		},
	}
}

// note puts the end of a run on record and counts it.
func (r *Rotations) note(ctx context.Context, e *run.Entry) {
	r.mu.Lock()
	r.ended[ending{e.Name, e.State}]++
	r.mu.Unlock()
	subject := e.Name + " " + string(e.State)
	if e.NewVersion != "" {
		subject += ", version " + e.NewVersion
	}
	if err := r.record(context.WithoutCancel(ctx), "gate", "rotation.ended", subject); err != nil {
		r.o.Log.ErrorContext(ctx, "recording the end of a rotation", "rotation", e.Name, "error", err)
	}
}

// History are the runs of a rotation, the newest first.
func (r *Rotations) History(ctx context.Context, name string) ([]run.Entry, error) {
	all, err := r.o.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(e run.Entry) bool { return e.Name != name })
	if _, err := r.spec(name); err != nil && len(all) == 0 {
		return nil, err
	}
	slices.Reverse(all)
	return all, nil
}

// planned is what a run of a rotation is about.
func (r *Rotations) planned(ctx context.Context, name string, spec *config.Rotation) (*run.Plan, error) {
	d, err := r.driver(ctx, name, spec)
	if err != nil {
		return nil, err
	}
	stored, err := r.stored(ctx, spec)
	if err != nil {
		return nil, err
	}
	p := &run.Plan{
		Name: name, Driver: d, Files: driver.FilesOf(d), Secret: stored, Gate: &gate{r, name, spec},
		Uses: &uses{r, name, spec}, Restart: spec.Restart, Grace: spec.Grace,
	}
	if len(spec.Restart) > 0 {
		p.Fleet = &fleets{r, name, stored}
	}
	return p, nil
}

func (r *Rotations) driver(ctx context.Context, name string, spec *config.Rotation) (driver.Driver, error) {
	return spec.Driver.Settings.Open(ctx, driver.Host{
		Environ: r.o.Environ, Secret: r.o.Resolve,
		Do: func(ctx context.Context, service string, req *http.Request) (*http.Response, error) {
			return r.o.Do(ctx, Caller{Rotation: name, Doing: "driver"}, service, req)
		},
	})
}

func (r *Rotations) stored(ctx context.Context, spec *config.Rotation) (*run.Stored, error) {
	store, err := r.o.Store(ctx, spec.Secret.Store)
	if err != nil {
		return nil, err
	}
	return &run.Stored{Store: store, Ref: spec.Secret}, nil
}

// Stopping is closed once Close was called.
func (r *Rotations) Stopping() <-chan struct{} { return r.stop.Done() }
