package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// Roller restarts one fleet. Its fields are not changed while a method runs.
type Roller struct {
	Fleet        string // its name
	Orchestrator Orchestrator
	Journal      Journal
	Health       Health // nil: what the orchestrator says of its nodes is enough
	Prover       Prover // nil: healthy is enough
	Busy         Busy   // nil: executions are left to n8n's graceful shutdown
	Limits       Limits
	Tell         func(Event) // called by the goroutine that restarts; nil: nobody listens
}

// Limits bound a restart. The zero value of each is its default.
type Limits struct {
	Drain     time.Duration // how long running executions are waited for before a unit; 5 min
	MustDrain bool          // executions that go on after that end the restart, instead of having Grace
	Grace     time.Duration // what n8n has to end them, N8N_GRACEFUL_SHUTDOWN_TIMEOUT; 30 s
	Unit      time.Duration // how long one unit may take to be healthy again; 10 min
	Settle    time.Duration // how long it has to stay healthy; 10 s
	Poll      time.Duration // how often a unit is looked at; 1 s
}

func (l Limits) orDefaults() Limits {
	l.Drain, l.Grace = cmp.Or(l.Drain, 5*time.Minute), cmp.Or(l.Grace, 30*time.Second)
	l.Unit, l.Settle, l.Poll = cmp.Or(l.Unit, 10*time.Minute), cmp.Or(l.Settle, 10*time.Second),
		cmp.Or(l.Poll, time.Second)
	return l
}

// Plan is a restart to come.
type Plan struct {
	Reason string   // for people, and for Restart: "secret n8n/api, version 4"
	Units  []string // in this order; none is every unit in the order of List
	Force  bool     // begin although a unit is not healthy before
}

// Begin restarts units one after another and returns what became of it, the record also with an error. An unfinished
// restart is ErrUnfinished: Resume goes on with it. A fleet with a unit that is not healthy is refused, unless forced:
// the next one to be taken down may be the last.
func (r *Roller) Begin(ctx context.Context, p Plan) (Record, error) {
	return r.locked(ctx, func(last Record) (*Record, error) {
		if last.Unfinished() {
			return nil, unfinished(last)
		}
		units, err := r.list(ctx)
		if err != nil {
			return nil, err
		}
		if units, err = chosen(units, p.Units); err != nil {
			return nil, err
		}
		if err := healthyBefore(units); err != nil && !p.Force {
			return nil, err
		}
		next := &Record{ID: newID(), Fleet: r.Fleet, Reason: p.Reason, Status: Running, Began: time.Now().UTC()}
		for _, u := range units {
			next.Steps = append(next.Steps, Step{Unit: u.Name, Phase: Waiting})
		}
		return next, nil
	})
}

// Resume goes on with an unfinished restart, whoever began it. What was done is not done again. Units in skip are given
// up.
func (r *Roller) Resume(ctx context.Context, skip ...string) (Record, error) {
	return r.locked(ctx, func(last Record) (*Record, error) {
		if !last.Unfinished() {
			return nil, fault.WithHint(fmt.Errorf("there is no unfinished restart of %q", r.Fleet),
				"sallyport fleet restart "+r.Fleet+" begins one")
		}
		for _, unit := range skip {
			i := slices.IndexFunc(last.Steps, func(s Step) bool { return s.Unit == unit })
			if i < 0 {
				return nil, fault.WithExit(fault.WithHint(fmt.Errorf("the restart has no unit %q", unit),
					"sallyport fleet status "+r.Fleet+" names them"), fault.ExitUsage)
			}
			if !last.Steps[i].Phase.over() {
				last.Steps[i].Phase, last.Steps[i].Ended = Skipped, time.Now().UTC()
			}
		}
		last.Status, last.Error, last.Hint = Running, "", ""
		return &last, nil
	})
}

// Rollback brings every unit that the last restart has touched back to what it ran before, the newest first. Where the
// orchestrator keeps nothing to come back to, the unit is restarted: it takes what its configuration says now.
func (r *Roller) Rollback(ctx context.Context) (Record, error) {
	return r.locked(ctx, func(last Record) (*Record, error) {
		back := &Record{
			ID: newID(), Fleet: r.Fleet, Reason: "taking back " + last.ID, Back: true, Status: Running,
			Began: time.Now().UTC(),
		}
		for _, s := range slices.Backward(last.Steps) {
			if s.touched() {
				back.Steps = append(back.Steps, Step{Unit: s.Unit, Phase: Waiting, Revision: s.Revision})
			}
		}
		if last.Back || len(back.Steps) == 0 {
			return nil, fault.WithHint(fmt.Errorf("the last restart of %q has nothing to take back", r.Fleet),
				"sallyport fleet status "+r.Fleet+" shows it")
		}
		return back, nil
	})
}

// Stop asks for a pause or for the end of a restart. Where a process works on it, that process heeds it, and working is
// true; else it is done at once.
func (r *Roller) Stop(ctx context.Context, how Request) (working bool, err error) {
	unlock, err := r.Journal.Lock(ctx, r.Fleet)
	if errors.Is(err, ErrWorking) {
		return true, r.Journal.Ask(ctx, r.Fleet, how)
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	last, err := r.Journal.Load(ctx, r.Fleet)
	if err != nil {
		return false, err
	}
	if !last.Unfinished() {
		return false, fault.WithHint(fmt.Errorf("there is no unfinished restart of %q", r.Fleet),
			"sallyport fleet status "+r.Fleet+" shows the last one")
	}
	last.Status = Paused
	if how == Abort {
		last.Status = Aborted
	}
	last.Changed = time.Now().UTC()
	return false, r.Journal.Save(ctx, last)
}

// locked does the work that choose says, as the only process: nil is none. choose may change what it is given.
func (r *Roller) locked(ctx context.Context, choose func(last Record) (*Record, error)) (Record, error) {
	failed := func(err error) (Record, error) { return Record{}, fmt.Errorf("restarting fleet %q: %w", r.Fleet, err) }
	unlock, err := r.lock(ctx)
	if err != nil {
		return failed(err)
	}
	defer unlock()
	last, err := r.Journal.Load(ctx, r.Fleet)
	if err != nil {
		return failed(err)
	}
	next, err := choose(last)
	if err != nil {
		return failed(err)
	}
	if next == nil {
		return last, nil
	}
	w := &work{Roller: r, limits: r.Limits.orDefaults(), record: next}
	if err := errors.Join(r.Journal.Ask(ctx, r.Fleet, NoRequest), w.save(ctx)); err != nil {
		return failed(err)
	}
	if err := guard.Try("restarting a fleet", func() error { return w.run(ctx) }); err != nil {
		return *w.record, fmt.Errorf("restarting fleet %q: %w", r.Fleet, err)
	}
	return *w.record, nil
}

func (r *Roller) list(ctx context.Context) ([]Unit, error) {
	units, err := r.Orchestrator.List(ctx)
	if err != nil {
		return nil, unreachable(err)
	}
	seen := make(map[string]bool)
	for _, u := range units {
		if seen[u.Name] || u.Name == "" {
			return nil, fmt.Errorf("the orchestrator lists unit %q twice", u.Name)
		}
		seen[u.Name] = true
	}
	return units, nil
}

// chosen are the units with these names, in their order; all when none is named.
func chosen(units []Unit, names []string) ([]Unit, error) {
	if len(names) == 0 {
		return units, nil
	}
	var out []Unit
	for _, name := range names {
		i := slices.IndexFunc(units, func(u Unit) bool { return u.Name == name })
		if i < 0 || slices.ContainsFunc(out, func(u Unit) bool { return u.Name == name }) {
			return nil, fault.WithExit(fault.WithHint(fmt.Errorf("unit %q is not there, or is named twice", name),
				"there are: "+strings.Join(namesOf(units), ", ")), fault.ExitUsage)
		}
		out = append(out, units[i])
	}
	return out, nil
}

func namesOf(units []Unit) (names []string) {
	for _, u := range units {
		names = append(names, u.Name)
	}
	return names
}

// healthyBefore refuses a fleet that is not whole.
func healthyBefore(units []Unit) error {
	var bad []string
	for _, u := range units {
		if u.State != Ready && u.State != Stopped {
			bad = append(bad, describe(u))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fault.WithHint(errors.New("not healthy before anything was done: "+strings.Join(bad, "; ")),
		"mend it first; --force restarts the fleet all the same, for example because the restart is what mends it")
}

func describe(u Unit) string {
	text := fmt.Sprintf("%s is %s", u.Name, u.State)
	if u.Problem != "" {
		text += ": " + u.Problem
	}
	return text
}

// ErrUnfinished tells that the restart before has not come to its end.
var ErrUnfinished = errors.New("a restart of this fleet is not finished")

func unfinished(r Record) error {
	return fault.WithExit(fault.WithHint(fmt.Errorf("%w: it is %s, for %q", ErrUnfinished, r.Status, r.Reason),
		"`sallyport fleet restart "+r.Fleet+" --resume` goes on with it, `sallyport fleet abort "+r.Fleet+
			"` gives it up"), fault.ExitLocked)
}

// unreachable gives an orchestrator that is not there the exit code of a store that is not.
func unreachable(err error) error {
	if errors.Is(err, ErrUnreachable) {
		return fault.WithExit(err, fault.ExitStore)
	}
	return err
}

// newID is the time, and what keeps two of one second apart.
func newID() string {
	return time.Now().UTC().Format("20060102T150405Z") + "-" + strings.ToLower(rand.Text()[:6])
}
