// Package changeover changes the master key of a whole n8n: the nodes stand still, the database goes over to the new
// key, and the nodes come back with it, each proved to have it.
//
// It cannot be done one node after another. All that n8n writes is under the key that the writing process has, a
// running n8n keeps the legacy data key for its life, and from 2.39 on one with another key than the database's does
// not start.
// How the database changes is package rekey's knowledge, how nodes stop and start package fleet's; this package is the
// order, and its record.
//
// Invariants: what is about to be done is on record before, so that whoever calls Run again after any end, kill -9
// included, goes on. No node is started while it is unknown which key the database has. A change that fails with the
// database under the old key brings the nodes back as they were. The record holds no key.
package changeover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
)

// Phase is how far a change is. Each is on record before what it names is begun.
type Phase string

// The phases, in their order; Returning and Returned take the place of the rest where nothing was changed.
const (
	Stopping   Phase = "stopping"   // nodes are told to end
	Storing    Phase = "storing"    // the new key is made durable
	Changing   Phase = "changing"   // the database is under one key or the other, whole
	Installing Phase = "installing" // the database is under the new key; the places that nodes read it from get it
	Starting   Phase = "starting"   // nodes are told to start
	Complete   Phase = "complete"
	Returning  Phase = "returning" // the database is under the old key; nodes are told to start with it
	Returned   Phase = "returned"
)

// over tells whether there is nothing to go on with.
func (p Phase) over() bool { return p == "" || p == Complete || p == Returned }

// Record is what there is to know of a change. It holds no key.
type Record struct {
	ID      string           `json:"id"`
	Fleet   string           `json:"fleet"`
	Phase   Phase            `json:"phase"`
	Units   []fleet.Standing `json:"units"`
	Began   time.Time        `json:"began"`
	Changed time.Time        `json:"changed"`
	Still   time.Time        `json:"still,omitzero"` // since when no node runs
	Store   Stored           `json:"store,omitzero"`
	Backup  string           `json:"backup,omitempty"` // of the database
	Undo    string           `json:"undo,omitempty"`   // the backup of the change that this one takes back
	Error   string           `json:"error,omitempty"`  // why it is not complete, or was taken back
	Told    bool             `json:"told,omitempty"`   // whoever asked for it knows that it is complete
}

// Stored is where the new key is kept, and what was current there.
type Stored struct {
	At     string `json:"at,omitempty"`     // STORE/NAME
	Before string `json:"before,omitempty"` // the version that was current
	Now    string `json:"now,omitempty"`    // the version with the new key
}

// Unfinished tells whether there is something to go on with.
func (r *Record) Unfinished() bool { return !r.Phase.over() }

// Under is what a database says of the two keys. An empty one is under both.
type Under struct{ Old, New bool }

// judge refuses a record that this package has not written: acted by, it would do something else than it says.
func (r *Record) judge(fleet string) error {
	known := []Phase{"", Stopping, Storing, Changing, Installing, Starting, Complete, Returning, Returned}
	if r.Fleet == fleet && slices.Contains(known, r.Phase) && (r.Phase.over() || len(r.Units) > 0) {
		return nil
	}
	return fault.WithHint(errors.New("the record of the change is not one of this fleet and this version"),
		"see DATA/fleet/"+fleet+"."+part+".json; a newer Sallyport may have written it")
}

// Steps are the parts of a change beside the fleet. Each may be called again after any end.
type Steps interface {
	// Keys reads the keys: s says where they are by now. Whatever else is called is called afterwards.
	Keys(ctx context.Context, s Stored) error
	// Check looks whether all that the change needs is there, and what would stop it. It changes nothing, and n8n is at
	// work meanwhile.
	Check(ctx context.Context) error
	// Store makes the new key durable where nodes take it from, as s.At says, and notes versions in s before it
	// changes anything. save puts s on record.
	Store(ctx context.Context, s *Stored, save func() error) error
	// Unstore makes s.Before current again.
	Unstore(ctx context.Context, s Stored) error
	// Change puts the database under the new key. Nobody has been at work on it since still. backup is a file to be
	// written, or that of the change to be taken back.
	Change(ctx context.Context, still time.Time, backup string) error
	// Under tells which keys open the database.
	Under(ctx context.Context) (Under, error)
	// Install puts the new key where nodes read it, beside the store.
	Install(ctx context.Context) error
	// Prove proves that the nodes of a unit have the new key, or the old one.
	Prove(ctx context.Context, u fleet.Unit, fresh bool) error
}

// Journal keeps the last change of each fleet: fleet.Files is one.
type Journal interface {
	LoadPart(fleet, part string, to any) (found bool, err error)
	SavePart(fleet, part string, v any) error
}

const part = "rekey"

// Change is the change of one fleet's master key.
type Change struct {
	Fleet   *fleet.Roller
	Journal Journal
	Steps   Steps
	At      string                      // STORE/NAME for the new key; "" is none
	Backup  func() string               // names a file that is not there yet
	Undo    string                      // take the change back that wrote this backup; "" is a change of its own
	Hold    bool                        // end before nodes are started
	Tell    func(string, ...any)        // of progress, for people
	Record  func(context.Context) error // puts on record that nodes and keys are about to change
}

// What ends a change without being its failure.
var (
	ErrHeld     = errors.New("the nodes stand still until they have the new key")
	ErrReturned = errors.New("nothing was changed, and the nodes run with the old key")
)

// Run begins a change, or goes on with the one that was not finished, and returns what became of it. With Hold it ends
// with ErrHeld once the database is under the new key. A change that is complete, and of which nobody was told yet, is
// told of, and so is a database that is under the new key already: then only the nodes are proved.
func (c *Change) Run(ctx context.Context) (Record, error) {
	return c.locked(ctx, func(r *Record) error {
		if err := c.same(r); err != nil {
			return err
		}
		if r.Phase == Complete && !r.Told && r.Undo == c.Undo {
			c.Tell("it was complete before")
			return nil
		}
		if r.Unfinished() {
			c.Tell("going on with the change of %s, which is %s", r.Began.Format(time.RFC3339), r.Phase)
			return c.advance(ctx, r)
		}
		under, err := c.Steps.Under(ctx)
		switch {
		case err != nil:
			return err
		case under.New && !under.Old:
			return c.already(ctx, r)
		}
		if err := c.begin(ctx, r); err != nil {
			return err
		}
		return c.advance(ctx, r)
	})
}

// same refuses to go on with something else than what was begun.
func (c *Change) same(r *Record) error {
	if !r.Unfinished() || r.Undo == c.Undo {
		return nil
	}
	begun := "a change of the key"
	if r.Undo != "" {
		begun = "taking back the change of " + r.Undo
	}
	return fault.WithExit(fault.WithHint(fmt.Errorf("something else is not finished: %s, which is %s", begun, r.Phase),
		"repeat the command that began it, or repeat that with --give-up"), fault.ExitLocked)
}

// Told puts on record that whoever asked for the change knows of its end: the next Run begins another one.
func (c *Change) Told(r Record) error {
	if r.ID == "" {
		return nil
	}
	r.Told = true
	return c.save(&r)
}

// GiveUp starts the nodes again as they were, where the database is still under the old key.
func (c *Change) GiveUp(ctx context.Context) (Record, error) {
	return c.locked(ctx, func(r *Record) error {
		if !r.Unfinished() {
			return fault.WithHint(fmt.Errorf("there is no unfinished change of the master key of fleet %q", r.Fleet),
				"`sallyport fleet list "+r.Fleet+"` shows whether its nodes run")
		}
		if err := c.same(r); err != nil {
			return err
		}
		under, err := c.Steps.Under(ctx)
		if err != nil {
			return err
		}
		if !under.Old {
			return fault.WithHint(
				fmt.Errorf("the database is not under the old key any more: the change is %s", r.Phase),
				"go on: repeat the command without --give-up; --undo with the backup of a change is the way back")
		}
		return c.comeBack(ctx, r)
	})
}

// locked does the work as the only process on the fleet, and puts on record what ended it.
func (c *Change) locked(ctx context.Context, work func(*Record) error) (Record, error) {
	failed := func(r Record, err error) (Record, error) {
		return r, fmt.Errorf("changing the master key of fleet %q: %w", c.Fleet.Fleet, err)
	}
	release, err := c.Fleet.Hold(ctx)
	if err != nil {
		return failed(Record{}, err)
	}
	defer release()
	r := Record{Fleet: c.Fleet.Fleet}
	if _, err := c.Journal.LoadPart(r.Fleet, part, &r); err != nil {
		return failed(r, err)
	}
	if err := r.judge(c.Fleet.Fleet); err != nil {
		return failed(r, err)
	}
	if err := c.Steps.Keys(ctx, r.Store); err != nil {
		return failed(r, err)
	}
	err = work(&r)
	if errors.Is(err, ErrHeld) {
		return r, err
	}
	if err != nil {
		if r.Unfinished() {
			r.Error = err.Error()
			err = errors.Join(c.advise(&r, err), c.save(&r))
		}
		return failed(r, err)
	}
	return r, nil
}

// advise says how it goes on.
func (c *Change) advise(r *Record, err error) error {
	next := "the same command again goes on"
	if r.Phase == Starting {
		next += "; `sallyport fleet list " + r.Fleet + "` shows the units"
		if r.Backup != "" {
			next += ", and the backup " + r.Backup + " is the way back, with --undo"
		}
	}
	if r.Phase == Stopping || r.Phase == Storing || r.Phase == Changing {
		next += ", with --give-up it starts the nodes again with the old key"
	}
	if hint := fault.HintOf(err); hint != "" {
		next = hint + "; then " + next
	}
	return fault.WithHint(err, next)
}

func (c *Change) enter(r *Record, p Phase) error {
	r.Phase = p
	if p != Returning && p != Returned {
		r.Error = ""
	}
	if err := c.save(r); err != nil {
		return err
	}
	c.Tell("%s", p)
	return nil
}

func (c *Change) save(r *Record) error {
	r.Changed = time.Now().UTC()
	return c.Journal.SavePart(r.Fleet, part, r)
}
