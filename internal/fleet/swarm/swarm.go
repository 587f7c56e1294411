// Package swarm is a fleet of services of a Docker Swarm. A unit is a service, whose containers the swarm itself
// replaces one after another, as the service's update_config says.
//
// A restart is `docker service update --force`: the counter in the task's template goes up, and the newest versions of
// the fleet's secrets take the place of older ones. A label of the service tells one restart of ours from the next. The
// way back is the specification before, of which Docker keeps one.
//
// Invariant: of what Docker answers nothing gets into an error but what this package knows the words of.
package swarm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/dockerapi"
	"sallyport/internal/fault"
	"sallyport/internal/fleet"
)

const (
	callTime = 10 * time.Second
	// stopGrace is what a service without stop_grace_period gives its containers (Docker 20.10 to 28).
	stopGrace = 10 * time.Second
	// maxStale is how often an update is made again when another process has changed the service in between.
	maxStale = 5
)

// The labels of a service that this package sets.
const (
	labelRestart  = "sallyport.restart"  // changes with each restart
	labelReverted = "sallyport.reverted" // the revision that it was brought back to
)

// Options say which services, and where Docker is.
type Options struct {
	Host     string   // the Docker API of a manager: see dockerapi.Dial
	Services []string // by name, in the order of restart

	Secrets []string // of package secret/swarm: a restart has services mount their newest versions
	Keep    int      // how many of their versions stay when nothing uses them; 0: all

	Machines map[string]string // the Docker APIs of other machines, by hostname: as `docker --host` takes them
}

// Fleet is a fleet of kind swarm. It is safe for concurrent use.
type Fleet struct {
	docker   *client.Client
	services []string
	machines *machines
	secrets  []string
	keep     int
}

// New checks o and contacts nobody.
func New(o Options) (*Fleet, error) {
	docker, err := dockerapi.Dial(o.Host)
	if err != nil {
		return nil, fmt.Errorf("setting up a fleet of kind swarm: %w", err)
	}
	return &Fleet{
		docker: docker, services: o.Services, secrets: o.Secrets, keep: o.Keep,
		machines: &machines{docker: docker, host: o.Host, others: o.Machines},
	}, nil
}

// Close lets go of the connections.
func (f *Fleet) Close() error { return f.docker.Close() }

// List implements fleet.Orchestrator.
func (f *Fleet) List(ctx context.Context) ([]fleet.Unit, error) {
	var units []fleet.Unit
	for _, name := range f.services {
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
	s, err := f.inspect(ctx, unit)
	if err != nil {
		return fleet.Unit{}, err
	}
	tasks, err := f.tasks(ctx, s.ID)
	if err != nil {
		return fleet.Unit{}, fmt.Errorf("looking at service %q: %w", unit, err)
	}
	u := describe(s, tasks)
	for i, t := range tasks {
		f.machines.reach(ctx, &u.Nodes[i], t)
	}
	slices.SortFunc(u.Nodes, func(a, b fleet.Node) int { return strings.Compare(a.Name+a.Instance, b.Name+b.Instance) })
	return u, nil
}

// Restart implements fleet.Orchestrator. n8n has the service's stop_grace_period to end.
func (f *Fleet) Restart(ctx context.Context, unit string, _ time.Duration) error {
	return f.change(ctx, "restarting", unit, func(s *api.Service) (bool, error) {
		if err := f.renew(ctx, &s.Spec); err != nil {
			return false, err
		}
		s.Spec.TaskTemplate.ForceUpdate++
		label(&s.Spec, labelRestart, rand.Text())
		delete(s.Spec.Labels, labelReverted)
		return true, nil
	})
}

// Revert implements fleet.Reverter: Docker keeps the specification before the present one.
func (f *Fleet) Revert(ctx context.Context, unit, revision string) error {
	return f.change(ctx, "reverting", unit, func(s *api.Service) (bool, error) {
		if generation(s.Spec) == revision || s.Spec.Labels[labelReverted] == revision {
			return false, nil
		}
		if s.PreviousSpec == nil || generation(*s.PreviousSpec) != revision {
			return false, fault.WithHint(fleet.ErrNoRevision,
				"Docker keeps one specification before the present one: bring the service back by a deployment")
		}
		s.Spec = *s.PreviousSpec
		label(&s.Spec, labelRestart, rand.Text())
		label(&s.Spec, labelReverted, revision)
		return true, nil
	})
}

// Stop implements fleet.Scaler.
func (f *Fleet) Stop(ctx context.Context, unit string, _ time.Duration) error {
	return f.scale(ctx, unit, 0)
}

// Start implements fleet.Scaler.
func (f *Fleet) Start(ctx context.Context, unit string, want int) error {
	return f.scale(ctx, unit, want)
}

func (f *Fleet) scale(ctx context.Context, unit string, want int) error {
	return f.change(ctx, "scaling", unit, func(s *api.Service) (bool, error) {
		r := s.Spec.Mode.Replicated
		if r == nil {
			return false, fault.WithHint(fmt.Errorf("%w: it is no replicated service", fleet.ErrNotAllowed),
				"a global service stops when its placement fits no machine: `docker service update --constraint-add`")
		}
		replicas := uint64(max(want, 0))
		if r.Replicas != nil && *r.Replicas == replicas {
			return false, nil
		}
		r.Replicas = &replicas
		return true, nil
	})
}

func label(spec *api.ServiceSpec, name, value string) {
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = make(map[string]string)
	}
	labels[name] = value
	spec.Labels = labels
}

// generation changes with each restart, by `docker service update --force` too.
func generation(spec api.ServiceSpec) string {
	return strconv.FormatUint(spec.TaskTemplate.ForceUpdate, 10) + " " + spec.Labels[labelRestart]
}

// change updates a service on top of what it is, again if it was changed meanwhile. by tells whether there is anything
// to change.
func (f *Fleet) change(ctx context.Context, doing, unit string, by func(*api.Service) (bool, error)) error {
	for again := 0; ; again++ {
		s, err := f.inspect(ctx, unit)
		if err != nil {
			return err
		}
		changed, err := by(&s)
		if err == nil && changed {
			err = f.update(ctx, s)
		}
		if errors.Is(err, errStale) && again < maxStale {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s service %q: %w", doing, unit, err)
		}
		return nil
	}
}

// errStale is an update on top of what is not the latest.
var errStale = errors.New("another process changes the service all the time")

func (f *Fleet) update(ctx context.Context, s api.Service) error {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := f.docker.ServiceUpdate(limited, s.ID, client.ServiceUpdateOptions{
		Version: s.Version, Spec: s.Spec,
		RegistryAuthFrom: api.RegistryAuthFromSpec,
	})
	if err == nil {
		return nil
	}
	// The engine answers an update on top of an old index with 500, as it does many things.
	if now, errNow := f.inspect(ctx, s.ID); errNow == nil && now.Version != s.Version {
		return errStale
	}
	return reason(ctx, err)
}

func (f *Fleet) inspect(ctx context.Context, unit string) (api.Service, error) {
	// Docker's client makes a path of it
	if unit == "" || strings.ContainsAny(unit, "/ ") || strings.HasPrefix(unit, "-") {
		return api.Service{}, fmt.Errorf("looking at service %q: %w", unit, noService())
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	found, err := f.docker.ServiceInspect(limited, unit, client.ServiceInspectOptions{})
	if err != nil {
		return api.Service{}, fmt.Errorf("looking at service %q: %w", unit, reason(ctx, err))
	}
	return found.Service, nil
}

func noService() error { return fleet.Gone("`docker service ls` lists those that are there") }

// tasks are those of a service that are not over.
func (f *Fleet) tasks(ctx context.Context, id string) ([]api.Task, error) {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	list, err := f.docker.TaskList(limited, client.TaskListOptions{Filters: make(client.Filters).Add("service", id)})
	if err != nil {
		return nil, reason(ctx, err)
	}
	over := []api.TaskState{
		api.TaskStateComplete, api.TaskStateShutdown, api.TaskStateFailed, api.TaskStateRejected, api.TaskStateRemove,
		api.TaskStateOrphaned,
	}
	return slices.DeleteFunc(list.Items, func(t api.Task) bool { return slices.Contains(over, t.Status.State) }), nil
}

// describe is a service as the port has it, with a node for each task, in their order.
func describe(s api.Service, tasks []api.Task) fleet.Unit {
	u := fleet.Unit{Name: s.Spec.Name, Generation: generation(s.Spec), Grace: stopGrace}
	u.Revision = u.Generation
	if c := s.Spec.TaskTemplate.ContainerSpec; c != nil && c.StopGracePeriod != nil {
		u.Grace = *c.StopGracePeriod
	}
	wanted := 0
	for _, t := range tasks {
		name := s.Spec.Name + "." + strconv.Itoa(t.Slot)
		if t.Slot == 0 { // of a global service: one on each machine
			name = s.Spec.Name + "." + t.NodeID
		}
		node := fleet.Node{Name: name, Instance: t.ID}
		node.Ready = t.Status.State == api.TaskStateRunning && t.DesiredState == api.TaskStateRunning &&
			t.Spec.ForceUpdate == s.Spec.TaskTemplate.ForceUpdate
		if t.DesiredState == api.TaskStateRunning {
			wanted++
		}
		u.Nodes = append(u.Nodes, node)
	}
	u.Want = wanted // a global service wants as many as the swarm has found machines for
	if r := s.Spec.Mode.Replicated; r != nil && r.Replicas != nil {
		u.Want = int(*r.Replicas) //nolint:gosec // a number of containers
	}
	u.State, u.Problem = state(s, u)
	return u
}

func state(s api.Service, u fleet.Unit) (state fleet.State, problem string) {
	ready := 0
	for _, n := range u.Nodes {
		if n.Ready {
			ready++
		}
	}
	if update := s.UpdateStatus; update != nil {
		switch update.State {
		case api.UpdateStateUpdating:
			return fleet.Changing, "its containers are being replaced"
		case api.UpdateStatePaused, api.UpdateStateRollbackStarted, api.UpdateStateRollbackPaused,
			api.UpdateStateRollbackCompleted:
			return fleet.Failed, "its new containers do not run: the update is " + string(update.State) +
				"; `docker service ps --no-trunc` says why"
		case api.UpdateStateCompleted:
		}
	}
	switch {
	case u.Want == 0 && len(u.Nodes) == 0:
		return fleet.Stopped, ""
	case ready == u.Want && len(u.Nodes) == u.Want:
		return fleet.Ready, ""
	}
	return fleet.Changing, fmt.Sprintf("%d of %d containers run", ready, u.Want)
}
