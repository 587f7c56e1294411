// Package install puts n8n's master key where a fleet takes it from: a Docker Swarm, Kubernetes, Nomad, a file for
// Compose, systemd or Ansible, or a store; and tells which lines of the fleet's configuration name it there.
//
// Each version of a key gets a name of its own (n8n_encryption_key_v1, _v2, …), so that the nodes of a fleet go over to
// it when their configuration says so, and back if they must. It does not touch that configuration, n8n or a database.
// Stores and clients are handed in; Nomad's API, systemd-creds and Ansible's format of vaults are spoken here.
//
// Invariant: a name that is taken is never written to; what was written is looked at before it is called installed; no
// error, result or argument of a program holds the key.
package install

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// Target is where versions of one key are kept, numbered from 1. A file that someone has named is the one version 0.
type Target interface {
	// String is the place for people: "the swarm", "namespace "prod"".
	String() string
	// Name is what version n is called there.
	Name(n int) string
	// Held lists the versions that are there, whoever made them, in any order.
	Held(ctx context.Context) ([]int, error)
	// Next is the number that Create begins to try with.
	Next(held []int) int
	// Create makes a version of the key under the next free number and returns that. It overwrites nothing.
	Create(ctx context.Context, held []int, key secret.Value) (n int, err error)
	// Read returns a version, and what was looked at, in words. The value is zero when there is one that is no key as
	// this package makes them. Where a place gives no values out, err is errHidden.
	Read(ctx context.Context, n int) (value secret.Value, how string, err error)
	// Snippet is what references version n.
	Snippet(n int) string
	// Notes are what else there is to know of version n.
	Notes(n int) []string
}

// The states of a Result.
const (
	Created = "created" // it was made
	Present = "present" // the same key was there already; nothing was changed
	Planned = "planned" // it would be made
)

// Result tells what was done. Nothing in it tells the key.
type Result struct {
	Target   string   `json:"place"`
	Name     string   `json:"name"`
	State    string   `json:"state"`
	Compared bool     `json:"compared"` // the key that is there was read, and is this one
	Checked  string   `json:"checked"`  // what was looked at, in words
	Snippet  string   `json:"snippet"`
	Notes    []string `json:"notes"`
}

var (
	// ErrDiffers tells that what was written is not what is there.
	ErrDiffers = errors.New("what is there now is not the key that was written")

	// errHidden tells that a version is there, and that nobody is given its value.
	errHidden = errors.New("the value is given to nobody")

	// errTaken is the answer to making what is there.
	errTaken = fault.WithHint(errors.New("there is one of this name already"),
		"the key in it may be the only one that opens a database: keep it, and name another")
)

// Run installs a key that Check has let through, unless the place is seen to have it; and looks at what it has made.
func Run(ctx context.Context, p Target, key secret.Value) (Result, error) {
	held, found, err := look(ctx, p, key)
	if err != nil || found != nil {
		return deref(found), err
	}
	n, err := p.Create(ctx, held, key)
	if err != nil {
		return Result{}, fmt.Errorf("installing the master key in %s: %w", p, err)
	}
	value, how, err := p.Read(ctx, n)
	hidden := errors.Is(err, errHidden)
	switch {
	case hidden:
	case err == nil && !same(value, key):
		err = fault.WithHint(ErrDiffers,
			"someone has changed it since: see who else writes there, and let no n8n use it")
		fallthrough
	case err != nil:
		return Result{}, fmt.Errorf("checking %q, which was just made in %s: %w", p.Name(n), p, err)
	}
	r := describe(p, n, Created, how)
	r.Compared = !hidden
	return r, nil
}

// Plan is Run without the writing. Without a key it says what a new one would be called.
func Plan(ctx context.Context, p Target, key secret.Value) (Result, error) {
	held, found, err := look(ctx, p, key)
	if err != nil || found != nil {
		return deref(found), err
	}
	n := p.Next(held)
	if slices.Contains(held, n) {
		return Result{}, fmt.Errorf("planning to make %q: %w", p.Name(n), errTaken)
	}
	return describe(p, n, Planned, "nothing was written"), nil
}

func deref(r *Result) Result {
	if r == nil {
		return Result{}
	}
	return *r
}

// look lists what is there, and finds the version that is this key already, the newest first.
func look(ctx context.Context, p Target, key secret.Value) ([]int, *Result, error) {
	held, err := p.Held(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("looking which keys are in %s: %w", p, err)
	}
	slices.SortFunc(held, func(a, b int) int { return b - a })
	for _, n := range held {
		value, how, err := p.Read(ctx, n)
		if err != nil && !errors.Is(err, errHidden) {
			return nil, nil, fmt.Errorf("looking at %q in %s: %w", p.Name(n), p, err)
		}
		if !key.IsZero() && !value.IsZero() && same(value, key) {
			r := describe(p, n, Present, how)
			r.Compared = true
			return held, &r, nil
		}
	}
	return held, nil, nil
}

func describe(p Target, n int, state, how string) Result {
	notes := p.Notes(n)
	if notes == nil {
		notes = []string{}
	}
	return Result{Target: p.String(), Name: p.Name(n), State: state, Checked: how, Snippet: p.Snippet(n), Notes: notes}
}

// same compares two keys as n8n reads them, in time that depends on their lengths only.
func same(a, b secret.Value) bool {
	return normal(a).Equal(normal(b))
}

func normal(v secret.Value) secret.Value {
	return secret.NewValue([]byte(environment.Normalize(string(v.Reveal()))))
}

// maxTaken is how many numbers are tried when others take them meanwhile.
const maxTaken = 100

// numbered are places whose versions have the numbers from 1 on.
type numbered struct{}

// Next implements Target: the number after the last.
func (numbered) Next(held []int) int {
	if len(held) == 0 {
		return 1
	}
	return max(slices.Max(held), 0) + 1
}

// create calls try with the numbers from the next one on, until one is not errTaken.
func (p numbered) create(held []int, try func(n int) error) (int, error) {
	first := p.Next(held)
	for n := first; n < first+maxTaken; n++ {
		if err := try(n); !errors.Is(err, errTaken) {
			return n, err
		}
	}
	return 0, errTaken
}
