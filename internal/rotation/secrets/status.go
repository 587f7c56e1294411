package secrets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/driver"
	"sallyport/internal/rotation/plan"
	"sallyport/internal/rotation/run"
	"sallyport/internal/schedule"
	"sallyport/internal/secret"
)

// Status is how a rotation stands.
type Status struct {
	Name    string     `json:"rotation"`
	Removed bool       `json:"removed,omitempty"` // the configuration has it no more, and a run of it is unfinished
	Run     *run.Entry `json:"run,omitempty"`     // the unfinished one, or the newest
	Success time.Time  `json:"last_success,omitzero"`
	Next    time.Time  `json:"next,omitzero"`     // when its schedule begins the next one; zero: it does not
	Due     time.Time  `json:"due,omitzero"`      // when it should have: before Next if it was missed, or fails
	Failure string     `json:"failure,omitempty"` // why this gate could not begin it, or go on
	// why a run that is due has not begun: not enough people have approved. That is no failure
	Approval string `json:"approval,omitempty"`
}

// Status is how all rotations stand, sorted by name.
func (r *Rotations) Status(ctx context.Context) ([]Status, error) {
	all, err := r.o.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	byName := make(map[string][]run.Entry)
	for i := range all {
		byName[all[i].Name] = append(byName[all[i].Name], all[i])
	}
	return r.statuses(r.o.Config(), byName), nil
}

func (r *Rotations) statuses(c *config.Config, byName map[string][]run.Entry) []Status {
	names := make(map[string]bool)
	for name := range c.Rotations {
		names[name] = true
	}
	for name, runs := range byName {
		names[name] = names[name] || unfinished(runs) != nil
	}
	var list []Status
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if names[name] {
			list = append(list, r.status(c, name, byName[name]))
		}
	}
	return list
}

func (r *Rotations) status(c *config.Config, name string, runs []run.Entry) Status {
	s := Status{Name: name, Removed: c.Rotations[name] == nil, Run: unfinished(runs)}
	var last time.Time
	for i := range runs {
		if runs[i].State == run.StateDone {
			s.Success = runs[i].Updated
		}
		if runs[i].State != run.StateRolledBack {
			last = runs[i].Started
		}
		if s.Run == nil && i == len(runs)-1 {
			s.Run = &runs[i]
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if spec := c.Rotations[name]; spec != nil && spec.Schedule != nil {
		if last.IsZero() && r.firsts[name].ref == spec.Secret {
			last = r.firsts[name].from
		}
		if parsed, err := schedule.Parse(spec.Schedule.Text()); err == nil && !last.IsZero() {
			s.Next, s.Due = parsed.Next(name, last, r.o.Now()), parsed.Next(name, last, last)
		}
	}
	if one := r.failed[name]; one.approval {
		s.Approval = one.text
	} else {
		s.Failure = one.text
	}
	return s
}

// What a rotation is beside the states of its runs.
const (
	NotYetRun = "not yet run"
	Approval  = "approval" // a run is due, and waits until people have approved
)

// State is how a rotation stands: NotYetRun, Approval, or the state of its newest run.
func (s *Status) State() string {
	switch {
	case s.Approval != "" && (s.Run == nil || s.Run.Ended()):
		return Approval
	case s.Run == nil:
		return NotYetRun
	}
	return string(s.Run.State)
}

// remember keeps what Shown returns.
func (r *Rotations) remember(c *config.Config, byName map[string][]run.Entry) {
	list := r.statuses(c, byName)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = list
}

// Shown is how all rotations stood a few seconds ago, from memory.
func (r *Rotations) Shown() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shown
}

// Ended calls fn with how many runs have ended in this process, by rotation and state.
func (r *Rotations) Ended(fn func(rotation string, state run.State, count int)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for what, n := range r.ended {
		fn(what.rotation, what.state, n)
	}
}

// Plan is what a run of a rotation would do. It reads the store and asks the provider for its keys, and changes
// nothing.
func (r *Rotations) Plan(ctx context.Context, name string) (*plan.Plan, error) {
	spec, err := r.spec(name)
	if err != nil {
		return nil, err
	}
	p, err := r.planned(ctx, name, spec)
	if err != nil {
		return nil, fmt.Errorf("planning the rotation of %q: %w", name, err)
	}
	return r.planOf(ctx, r.o.Config(), spec, p)
}

// planOf is the plan of a run that is about p, which was made of spec.
func (r *Rotations) planOf(ctx context.Context, c *config.Config, spec *config.Rotation,
	p *run.Plan,
) (*plan.Plan, error) {
	name := p.Name
	runs, err := r.o.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	now, version, err := r.now(ctx, name, spec, p)
	if err != nil && spec.Approve > 0 {
		return nil, fmt.Errorf("planning the rotation of %q: what is to be approved of is not known: %w", name, err)
	}
	can := p.Driver.Capabilities()
	does := plan.Does{
		Rotation: name, Grace: spec.Grace, Approve: spec.Approve,
		Secret: plan.Secret{
			Ref: spec.Secret.String(), Store: spec.Secret.Store, Version: version,
		},
		Driver: plan.Driver{Kind: spec.Driver.Kind, Can: can, Settings: driverDigest(c, name, spec), Files: p.Files},
		OldKey: plan.OldKey(run.KeyOf(runs, name, version), now.Keys, version),
	}
	if store := c.StoreSet()[spec.Secret.Store]; store != nil {
		does.Secret.Kind, does.Secret.Settings = store.Kind, digest(c, "stores."+spec.Secret.Store)
	}
	proof := c.ProofOf(spec)
	for _, service := range c.UsersOf(spec.Secret) {
		one := plan.Service{Name: service, Settings: digest(c, "services."+service)}
		if proof != nil && proof.Service == service {
			one.Test = fmt.Sprint(proof.Method, " ", proof.Path, " expects ", proof.Expect)
		}
		does.Services = append(does.Services, one)
	}
	for _, fleet := range spec.Restart {
		does.Restart = append(does.Restart, plan.Restart{Fleet: fleet, Settings: digest(c, "fleets."+fleet)})
	}
	for _, e := range runs {
		if e.Name == name && !e.Ended() {
			now.Run, now.Step = e.ID, string(e.Step)
		}
	}
	whole := plan.New(does, now)
	if r.o.Approved != nil {
		whole.Now.Approved = r.o.Approved(ctx, whole)
	}
	return whole, nil
}

// now is what is the case; what cannot be found out is a note, and an error if the run depends on it.
func (r *Rotations) now(ctx context.Context, name string, spec *config.Rotation, p *run.Plan) (now plan.Now,
	version string, unknown error,
) {
	value, version, err := p.Secret.Current(ctx)
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		unknown = fmt.Errorf("the current version: %w", err)
		now.Notes = append(now.Notes, unknown.Error())
	}
	if p.Driver.Capabilities().Lists {
		job := driver.Job{Rotation: name, Current: value}
		if now.Keys, err = p.Driver.Keys(ctx, job); err != nil {
			err = fmt.Errorf("the provider's keys: %w", err)
			unknown = errors.Join(unknown, err)
			now.Notes = append(now.Notes, err.Error())
		}
	}
	members, err := r.o.Members(ctx)
	if err != nil {
		now.Notes = append(now.Notes, "the replicas: "+err.Error())
	}
	for i := range members {
		if members[i].Accepts > 0 {
			now.Replicas = append(now.Replicas, members[i].Host+" at "+members[i].Address)
		}
	}
	if version == "" {
		return now, version, unknown
	}
	used, err := r.o.Evidence.Uses(ctx, r.o.Label(spec.Secret, version))
	if err != nil {
		now.Notes = append(now.Notes, "who uses it: "+err.Error())
	}
	for _, u := range used {
		if u.By == "" {
			continue // nobody knows whose
		}
		now.Consumers = append(now.Consumers, plan.Consumer{By: u.By, Count: u.Count, Last: u.Last})
	}
	return now, version, unknown
}

// driverDigest is that of the driver's settings, and of the services that it calls.
func driverDigest(c *config.Config, name string, spec *config.Rotation) string {
	keys := []string{"rotations." + name + ".driver"}
	if calls, ok := spec.Driver.Settings.(driver.Calling); ok {
		for _, service := range calls.Services() {
			keys = append(keys, "services."+service)
		}
	}
	return digest(c, keys...)
}

// digest stands for all values below keys, as the configuration has them.
func digest(c *config.Config, keys ...string) string {
	var text strings.Builder
	for _, one := range config.Origins(c) {
		for _, key := range keys {
			if below, ok := strings.CutPrefix(one.Key, key); ok && (below == "" || below[0] == '.' || below[0] == '[') {
				_, _ = fmt.Fprintf(&text, "%q = %q\n", one.Key, one.Value)
			}
		}
	}
	return plan.Digest(text.String())
}
