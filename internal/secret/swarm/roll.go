package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// look is how often a service is looked at while it is updated.
const look = 250 * time.Millisecond

// Roll has a service use another version of path, under the same target, and waits until the service's own update
// (update_config: order, parallelism, delay, monitor) has replaced its containers. Version "" is the newest one. It
// returns the version in use. A service that uses it already is left alone. What is mounted under a version's own name,
// NAME_vN, stays: it was mounted to be that version.
//
// It waits until ctx ends. The update goes on then, and Roll can be called again. An update that Docker pauses or rolls
// back is an error.
func (m *Manager) Roll(ctx context.Context, service, path, version string) (secret.Version, error) {
	h, newest, err := m.choose(ctx, path, version)
	if err == nil {
		err = m.roll(ctx, service, h)
	}
	if err != nil {
		return secret.Version{}, m.failed(fmt.Sprintf("rolling service %q to", service), path, err)
	}
	return h.describe(newest), nil
}

// choose finds the version to roll to.
func (m *Manager) choose(ctx context.Context, path, version string) (h held, newest bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	all, err := m.family(ctx, path)
	if err != nil {
		return held{}, false, err
	}
	if version == "" {
		return all[0], true, nil
	}
	for i, h := range all {
		if strconv.Itoa(h.number) == version {
			return h, i == 0, nil
		}
	}
	return held{}, false, secret.ErrVersionGone
}

func (m *Manager) roll(ctx context.Context, service string, to held) error {
	family, err := m.ids(ctx, to.path)
	if err != nil {
		return err
	}
	for again := 0; ; again++ {
		s, err := m.inspect(ctx, service)
		if err != nil {
			return err
		}
		changed, err := replaceVersion(&s.Spec, family, to)
		if err != nil {
			return err
		}
		if changed {
			err = m.update(ctx, s)
		}
		if errors.Is(err, errRefused) || errors.Is(err, errStale) { // mostly: another process updated it in between
			if again < 5 {
				continue
			}
			return fault.WithHint(err,
				"see what `docker service update` says, and whether something else updates the service all the time")
		}
		if err != nil {
			return err
		}
		return m.converge(ctx, rolling{service: s.ID, to: to, changed: changed, before: s.UpdateStatus})
	}
}

// ids are Docker's ids of every version.
func (m *Manager) ids(ctx context.Context, path string) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	all, err := m.versions(ctx, path)
	ids := make(map[string]bool, len(all))
	for _, h := range all {
		ids[h.docker.ID] = true
	}
	return ids, err
}

func (m *Manager) inspect(ctx context.Context, service string) (api.Service, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	found, err := m.docker.ServiceInspect(ctx, service, client.ServiceInspectOptions{})
	if err == nil {
		return found.Service, nil
	}
	if err = reason(ctx, err); errors.Is(err, secret.ErrNotFound) {
		err = fault.WithHint(errors.New("there is no such service"), "`docker service ls` lists them")
	}
	return api.Service{}, err
}

// errStale is an update on top of what is not the latest.
var errStale = errors.New("the service was updated by another process")

func (m *Manager) update(ctx context.Context, s api.Service) error {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	_, err := m.docker.ServiceUpdate(ctx, s.ID, client.ServiceUpdateOptions{
		Version: s.Version, Spec: s.Spec,
		RegistryAuthFrom: api.RegistryAuthFromSpec,
	})
	if err == nil {
		return nil
	}
	// The engine answers an update on top of an old index with 500, as it does many things.
	if now, errNow := m.inspect(ctx, s.ID); errNow == nil && now.Version != s.Version {
		return errStale
	}
	return reason(ctx, err)
}

// replaceVersion puts another version in the place of the one that a service has mounted, in its specification.
func replaceVersion(spec *api.ServiceSpec, family map[string]bool, to held) (changed bool, err error) {
	found := false
	if c := spec.TaskTemplate.ContainerSpec; c != nil {
		for _, ref := range c.Secrets {
			if !family[ref.SecretID] || ref.File == nil || ref.File.Name == ref.SecretName {
				continue
			}
			found = true
			if ref.SecretID != to.docker.ID {
				ref.SecretID, ref.SecretName, changed = to.docker.ID, to.docker.Spec.Name, true
			}
		}
	}
	if !found {
		return false, fault.WithHint(errors.New("the service does not have it mounted under a name of its own"),
			fmt.Sprintf("mount it once: `docker service update --secret-add source=%s,target=%s%s SERVICE`",
				to.docker.Spec.Name, to.path, mountOptions))
	}
	return changed, nil
}

// rolling is an update under way.
type rolling struct {
	service string // its id
	to      held
	changed bool              // the service was updated to that end; else it had been before
	before  *api.UpdateStatus // of the update before this one
}

// converge waits until the containers of a service have the version.
func (m *Manager) converge(ctx context.Context, r rolling) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		done, err := m.converged(ctx, r)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return waited(ctx)
		case <-tick.C:
		}
	}
}

func waited(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Canceled
	}
	return unavailable("the service was not updated in time",
		"the update goes on: `docker service ps SERVICE` shows what it waits for")
}

// converged tells whether the update is over, which an error is too: by Docker's word on it, or, where Docker had
// nothing to replace, by what runs.
func (m *Manager) converged(ctx context.Context, r rolling) (bool, error) {
	// In this order: the containers that an update takes away are gone after it has said that it began.
	all, err := m.allHave(ctx, r.service, r.to)
	if err != nil {
		return false, err
	}
	s, err := m.inspect(ctx, r.service)
	if err != nil {
		return false, err
	}
	u := s.UpdateStatus
	if u == nil || (r.changed && !isNewer(u, r.before)) {
		return all, nil
	}
	switch u.State {
	case api.UpdateStateUpdating:
		return false, nil
	case api.UpdateStateCompleted:
		return r.changed || all, nil
	case api.UpdateStateRollbackStarted, api.UpdateStateRollbackCompleted:
		if !r.changed { // back to a specification that has the version
			return all && u.State == api.UpdateStateRollbackCompleted, nil
		}
	case api.UpdateStatePaused, api.UpdateStateRollbackPaused:
	}
	return false, fault.WithHint(fmt.Errorf("the update has failed: it is %s", u.State),
		"the new containers do not run: `docker service ps --no-trunc SERVICE` says why; the version stays, and the "+
			"service can be rolled to it again")
}

func isNewer(u, before *api.UpdateStatus) bool {
	return u.StartedAt != nil && (before == nil || before.StartedAt == nil || u.StartedAt.After(*before.StartedAt))
}

// allHave tells whether every container that is to run has the version, and runs.
func (m *Manager) allHave(ctx context.Context, service string, to held) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	tasks, err := m.docker.TaskList(ctx,
		client.TaskListOptions{Filters: make(client.Filters).Add("service", service).Add("desired-state", "running")})
	if err != nil {
		return false, reason(ctx, err)
	}
	return !slices.ContainsFunc(tasks.Items, func(t api.Task) bool {
		c := t.Spec.ContainerSpec
		has := c != nil && slices.ContainsFunc(c.Secrets, func(ref *api.SecretReference) bool {
			return ref.SecretID == to.docker.ID
		})
		return !has || t.Status.State != api.TaskStateRunning
	}), nil
}
