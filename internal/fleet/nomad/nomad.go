// Package nomad is a fleet of task groups of Nomad jobs. A unit is a group, JOB/GROUP, whose allocations Nomad replaces
// one after another, as the group's update block says.
//
// A restart registers the job again with another value in the group's meta: to Nomad that is a new version of the
// group, as the annotation of `kubectl rollout restart` is to Kubernetes, and a deployment tells whether it is healthy.
// The way back is the group as a former version of the job has it. All else in the job stays as it is at that moment,
// which check-and-set guards.
//
// Invariant: a job holds secrets in its environment. Nothing of it, and nothing that Nomad writes, is part of an error
// or of a log, apart from words that this package knows.
package nomad

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
)

const (
	// metaRestart is the item of a group's meta that changes with each restart. Tasks see it as NOMAD_META_….
	metaRestart = "restarted_by_sallyport"
	// maxStale is how often a job is registered again when another process has changed it in between.
	maxStale = 5
	// stopGrace is the kill_timeout of a task that names none (Nomad 1.9).
	stopGrace = 5 * time.Second
)

// Fleet is a fleet of kind nomad. It is safe for concurrent use.
type Fleet struct {
	*client

	groups  []string
	reached Options // how the cluster is reached
}

// isUnit is JOB/GROUP, as one segment each of a path.
var isUnit = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._~-]{0,127})/([A-Za-z0-9][A-Za-z0-9._~-]{0,127})$`)

// New checks o and contacts nobody.
func New(o Options) (*Fleet, error) {
	c, err := newClient(o)
	if err != nil {
		return nil, fmt.Errorf("setting up a fleet of kind nomad: %w", err)
	}
	if o.Address == "" {
		o.Address = defaultAddress
	}
	return &Fleet{client: c, groups: o.Groups, reached: o}, nil
}

// job is what of a job is looked at. raw is all of it, as Nomad wrote it, for registering it again.
type job struct {
	ID             string
	Type           string
	Version        uint64
	JobModifyIndex uint64
	Stop           bool
	Periodic       *json.RawMessage
	Parameterized  *json.RawMessage `json:"ParameterizedJob"`
	TaskGroups     []group

	raw map[string]any
}

type group struct {
	Name  string
	Count int
	Meta  map[string]string
	Tasks []task
}

type task struct {
	Name        string
	KillTimeout time.Duration
	Config      struct{ Image any }
}

// allocation is one as lists have it.
type allocation struct {
	ID, Name, TaskGroup         string
	DesiredStatus, ClientStatus string
	JobVersion                  uint64
	DeploymentStatus            *struct{ Healthy *bool }
	TaskStates                  map[string]struct {
		State    string
		Failed   bool
		Restarts uint64
	}
}

// deployment is one of the deployments of a job, newest first in lists.
type deployment struct {
	JobVersion uint64
	Status     string
	TaskGroups map[string]struct {
		AutoRevert, Promoted                                          bool
		DesiredCanaries, DesiredTotal, HealthyAllocs, UnhealthyAllocs int
	}
}

// List implements fleet.Orchestrator.
func (f *Fleet) List(ctx context.Context) ([]fleet.Unit, error) {
	var units []fleet.Unit
	for _, name := range f.groups {
		u, err := f.Look(ctx, name)
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	return units, nil
}

// Look implements fleet.Orchestrator.
func (f *Fleet) Look(ctx context.Context, unit string) (fleet.Unit, error) {
	u, err := f.look(ctx, unit)
	if err != nil {
		return fleet.Unit{}, fmt.Errorf("looking at %q in namespace %q: %w", unit, f.namespace, err)
	}
	return u, nil
}

func (f *Fleet) look(ctx context.Context, unit string) (fleet.Unit, error) {
	j, g, err := f.read(ctx, unit)
	if err != nil {
		return fleet.Unit{}, err
	}
	var allocations []allocation
	if err := f.get(ctx, "job/"+url.PathEscape(j.ID)+"/allocations", &allocations); err != nil {
		return fleet.Unit{}, err
	}
	var deployments []deployment
	if err := f.get(ctx, "job/"+url.PathEscape(j.ID)+"/deployments", &deployments); err != nil {
		return fleet.Unit{}, err
	}
	u := f.describe(unit, j, g, allocations, deployments)
	for i := range u.Nodes {
		if u.Nodes[i].Address, err = f.address(ctx, u.Nodes[i].Name); err != nil {
			return fleet.Unit{}, err
		}
		u.Nodes[i].Name = strings.Split(u.Nodes[i].Name, "-")[0] // as Nomad's command line shows it
	}
	return u, nil
}

// read returns a job and a group of it.
func (f *Fleet) read(ctx context.Context, unit string) (*job, *group, error) {
	parts := isUnit.FindStringSubmatch(unit)
	if parts == nil {
		return nil, nil, gone()
	}
	var text json.RawMessage
	if err := f.get(ctx, "job/"+url.PathEscape(parts[1]), &text); err != nil {
		return nil, nil, err
	}
	j, err := parse(text)
	if err != nil {
		return nil, nil, err
	}
	if j.Type != "service" || j.Periodic != nil || j.Parameterized != nil {
		return nil, nil, fault.WithHint(fmt.Errorf("%w: the job is no service", fleet.ErrNotAllowed),
			"n8n runs as a job of type service; one of type system or batch has no count, and rolls nothing out")
	}
	g := j.group(parts[2])
	if g == nil {
		return nil, nil, gone()
	}
	return j, g, nil
}

func parse(text json.RawMessage) (*job, error) {
	j := new(job)
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber() // times are nanoseconds, which no float64 holds
	if json.Unmarshal(text, j) != nil || decoder.Decode(&j.raw) != nil || j.ID == "" {
		return nil, notUnderstood()
	}
	return j, nil
}

func (j *job) group(name string) *group {
	for i := range j.TaskGroups {
		if j.TaskGroups[i].Name == name {
			return &j.TaskGroups[i]
		}
	}
	return nil
}

// rawGroup is the group in raw, and where it stands.
func (j *job) rawGroup(name string) (groups []any, at int) {
	groups, _ = j.raw["TaskGroups"].([]any)
	for i, g := range groups {
		if fields, ok := g.(map[string]any); ok && fields["Name"] == name {
			return groups, i
		}
	}
	return nil, 0
}

func gone() error {
	return fleet.Gone("`nomad job status` lists jobs and `nomad job status JOB` the groups; a unit is JOB/GROUP")
}

// Restart implements fleet.Orchestrator. n8n has its task's kill_timeout to end.
func (f *Fleet) Restart(ctx context.Context, unit string, _ time.Duration) error {
	return f.change(ctx, "restarting", unit, func(j *job, g *group, raw map[string]any) (map[string]any, error) {
		if j.Stop || g.Count == 0 {
			return nil, nil
		}
		return marked(raw), nil
	})
}

// marked is a group with another value of metaRestart.
func marked(raw map[string]any) map[string]any {
	meta, _ := raw["Meta"].(map[string]any)
	if meta == nil {
		meta = make(map[string]any)
	}
	meta[metaRestart] = time.Now().UTC().Format("20060102T150405Z-") + strings.ToLower(rand.Text()[:8])
	raw["Meta"] = meta
	return raw
}

// Revert implements fleet.Reverter: the group is what the version of the job had, with as many allocations as now.
func (f *Fleet) Revert(ctx context.Context, unit, revision string) error {
	return f.change(ctx, "reverting", unit, func(j *job, g *group, raw map[string]any) (map[string]any, error) {
		if strconv.FormatUint(j.Version, 10) == revision {
			return nil, nil
		}
		former, err := f.version(ctx, j.ID, revision)
		if err != nil {
			return nil, err
		}
		if former.group(g.Name) == nil {
			return nil, noRevision()
		}
		groups, at := former.rawGroup(g.Name)
		back, _ := groups[at].(map[string]any)
		if back["Count"] = raw["Count"]; reflect.DeepEqual(back, raw) {
			return nil, nil
		}
		return back, nil
	})
}

// version is a former version of a job.
func (f *Fleet) version(ctx context.Context, id, revision string) (*job, error) {
	var versions struct{ Versions []json.RawMessage }
	if err := f.get(ctx, "job/"+url.PathEscape(id)+"/versions", &versions); err != nil {
		return nil, err
	}
	for _, text := range versions.Versions {
		if j, err := parse(text); err == nil && strconv.FormatUint(j.Version, 10) == revision {
			return j, nil
		}
	}
	return nil, noRevision()
}

func noRevision() error {
	return fault.WithHint(fleet.ErrNoRevision, "`nomad job history JOB` shows the versions that are kept")
}

// Stop implements fleet.Scaler.
func (f *Fleet) Stop(ctx context.Context, unit string, _ time.Duration) error {
	return f.Start(ctx, unit, 0)
}

// Start implements fleet.Scaler.
func (f *Fleet) Start(ctx context.Context, unit string, want int) error {
	return f.change(ctx, "scaling", unit, func(j *job, g *group, raw map[string]any) (map[string]any, error) {
		switch {
		case j.Stop && want == 0, !j.Stop && g.Count == want:
			return nil, nil
		case j.Stop:
			return nil, fault.WithHint(fmt.Errorf("%w: the job is stopped", fleet.ErrNotAllowed),
				"`nomad job start` starts it")
		}
		raw["Count"] = want
		return raw, nil
	})
}

// change registers a job with a group as by makes it, on top of what the job is, again if it was changed meanwhile. No
// group: there is nothing to change.
func (f *Fleet) change(ctx context.Context, doing, unit string,
	by func(*job, *group, map[string]any) (map[string]any, error),
) error {
	for again := 0; ; again++ {
		err := f.once(ctx, unit, by)
		if errors.Is(err, errStale) && again < maxStale {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s %q in namespace %q: %w", doing, unit, f.namespace, err)
		}
		return nil
	}
}

// errStale is a registration on top of what is not the latest.
var errStale = errors.New("another process changes the job all the time")

func (f *Fleet) once(ctx context.Context, unit string,
	by func(*job, *group, map[string]any) (map[string]any, error),
) error {
	j, g, err := f.read(ctx, unit)
	if err != nil {
		return err
	}
	groups, at := j.rawGroup(g.Name)
	if groups == nil {
		return notUnderstood()
	}
	raw, _ := groups[at].(map[string]any)
	next, err := by(j, g, raw)
	if err != nil || next == nil {
		return err
	}
	groups[at] = next
	err = f.call(ctx, http.MethodPost, "job/"+url.PathEscape(j.ID), map[string]any{
		"Job": j.raw, "EnforceIndex": true, "JobModifyIndex": j.JobModifyIndex,
	}, nil)
	if errors.Is(err, errRefused) {
		// Nomad answers a registration on top of an old index with 500, as it does many things.
		if now, _, errNow := f.read(ctx, unit); errNow == nil && now.JobModifyIndex != j.JobModifyIndex {
			return errStale
		}
	}
	return err
}
