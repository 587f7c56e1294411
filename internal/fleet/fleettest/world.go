// Package fleettest is the conformance suite of every fleet.Orchestrator, and World, an orchestrator in memory that
// passes it. It is for tests only.
package fleettest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
)

// World is an orchestrator in memory. Its units become healthy a while after they were told to restart. Set its fields
// before the first call; the methods may be called at any time.
type World struct {
	Takes time.Duration // how long a restart takes
	// Before, if it is not nil, is called before each call, which has no effect if it returns an error. After is called
	// after each call has had its effect, and can keep its answer away.
	Before, After func(call, unit string) error

	mu    sync.Mutex
	units []*unit
	calls []string
}

type unit struct {
	name       string
	generation int
	revision   int
	want       int
	readyAt    time.Time
	broken     bool // it never becomes healthy
	failed     bool // the orchestrator gives up where it does not
	gaveUp     bool // it has, and stays at that until the next change
}

// NewWorld has units of two nodes each.
func NewWorld(names ...string) *World {
	w := &World{}
	for _, name := range names {
		w.units = append(w.units, &unit{name: name, generation: 1, revision: 1, want: 2})
	}
	return w
}

// Restarts counts the restarts of a unit.
func (w *World) Restarts(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.units {
		if u.name == name {
			return u.generation - 1
		}
	}
	return -1
}

// Calls are the calls that had an effect, "restart NAME" and so on, in their order.
func (w *World) Calls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// Break has a unit never become healthy after its next restart; with failed the orchestrator says that it has given up.
func (w *World) Break(name string, failed bool) {
	w.with(name, func(u *unit) { u.broken, u.failed = true, failed })
}

// Mend takes Break back. Where the orchestrator has given up, it takes another change to have it look again.
func (w *World) Mend(name string) { w.with(name, func(u *unit) { u.broken, u.failed = false, false }) }

// Remove takes a unit away.
func (w *World) Remove(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.units = slices.DeleteFunc(w.units, func(u *unit) bool { return u.name == name })
}

func (w *World) with(name string, do func(*unit)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.units {
		if u.name == name {
			do(u)
		}
	}
}

// List implements fleet.Orchestrator.
func (w *World) List(ctx context.Context) (units []fleet.Unit, err error) {
	err = w.call(ctx, "list", "", func() error {
		for _, u := range w.units {
			units = append(units, u.see())
		}
		if len(units) == 0 {
			return fault.WithHint(errors.New("there is no unit"), "make one")
		}
		return nil
	})
	return units, err
}

// Look implements fleet.Orchestrator.
func (w *World) Look(ctx context.Context, name string) (seen fleet.Unit, err error) {
	err = w.on(ctx, "look", name, func(u *unit) error { seen = u.see(); return nil })
	return seen, err
}

// Restart implements fleet.Orchestrator.
func (w *World) Restart(ctx context.Context, name string, _ time.Duration) error {
	return w.on(ctx, "restart", name, func(u *unit) error { w.change(u, "restart"); u.revision++; return nil })
}

// Revert implements fleet.Reverter.
func (w *World) Revert(ctx context.Context, name, revision string) error {
	return w.on(ctx, "revert", name, func(u *unit) error {
		if fmt.Sprint(u.revision) == revision {
			return nil
		}
		var to int
		if n, err := fmt.Sscan(revision, &to); n != 1 || err != nil || to < 1 || to > u.revision {
			return fleet.ErrNoRevision
		}
		w.change(u, "revert")
		u.revision = to
		return nil
	})
}

// Stop implements fleet.Scaler.
func (w *World) Stop(ctx context.Context, name string, _ time.Duration) error {
	return w.on(ctx, "stop", name, func(u *unit) error {
		if u.want > 0 {
			w.change(u, "stop")
			u.want = 0
		}
		return nil
	})
}

// Start implements fleet.Scaler.
func (w *World) Start(ctx context.Context, name string, want int) error {
	return w.on(ctx, "start", name, func(u *unit) error {
		if u.want != want {
			w.change(u, "start")
			u.want = want
		}
		return nil
	})
}

// change begins a new generation of a unit.
func (w *World) change(u *unit, how string) {
	u.generation++
	u.gaveUp = u.failed
	u.readyAt = time.Now().Add(w.Takes)
	w.calls = append(w.calls, how+" "+u.name)
}

func (w *World) on(ctx context.Context, call, name string, do func(*unit) error) error {
	return w.call(ctx, call, name, func() error {
		for _, u := range w.units {
			if u.name == name {
				return do(u)
			}
		}
		return fault.WithHint(fleet.ErrGone, "make it")
	})
}

func (w *World) call(ctx context.Context, call, name string, do func() error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if w.Before != nil {
		if err := w.Before(call, name); err != nil {
			return err
		}
	}
	w.mu.Lock()
	err := do()
	w.mu.Unlock()
	if err == nil && w.After != nil {
		err = w.After(call, name)
	}
	return err
}

// see is a unit as the port has it. A stopped one has no nodes.
func (u *unit) see() fleet.Unit {
	seen := fleet.Unit{
		Name: u.name, Generation: fmt.Sprint(u.generation), Revision: fmt.Sprint(u.revision), Want: u.want,
		State: fleet.Ready,
	}
	for i := range u.want {
		seen.Nodes = append(seen.Nodes, fleet.Node{
			Name:     fmt.Sprintf("%s-%d", u.name, i),
			Instance: fmt.Sprintf("%s-%d-%d", u.name, u.generation, i), Ready: true,
		})
	}
	switch {
	case u.want == 0:
		seen.State = fleet.Stopped
	case u.gaveUp:
		seen.State, seen.Problem = fleet.Failed, "its nodes end at once"
	case u.generation > 1 && u.broken, time.Now().Before(u.readyAt):
		seen.State, seen.Problem = fleet.Changing, "its nodes start"
	}
	return seen
}
