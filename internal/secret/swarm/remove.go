package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// Delete implements secret.Writer. A secret that a service has mounted stays, with all versions: Docker would refuse
// halfway. What it leaves is an empty shell, NAME_vN with the label sallyport.deleted, from which the next Put's number
// goes on: a reference to a version never comes to mean another value.
func (m *Manager) Delete(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	if err := m.remove(ctx, path); err != nil {
		return m.failed("deleting", path, err)
	}
	return nil
}

func (m *Manager) remove(ctx context.Context, path string) error {
	all, err := m.family(ctx, path)
	if err != nil {
		return err
	}
	users, err := m.users(ctx)
	if err != nil {
		return err
	}
	var services []string
	for _, h := range all {
		services = append(services, users[h.docker.ID].now...)
	}
	if len(services) > 0 {
		slices.Sort(services)
		names := strings.Join(slices.Compact(services), ", ")
		return fault.WithHint(fmt.Errorf("it is in use by %s", names),
			"take it from them first: `docker service update --secret-rm NAME_vN SERVICE`; `keep` of a fleet of kind "+
				"swarm removes older versions alone")
	}
	if err := m.bury(ctx, path); err != nil {
		return err
	}
	for _, h := range slices.Backward(all) { // oldest first, so that half of it is still the newest half
		if err := m.removeOne(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// bury makes what stands for the versions that are deleted.
func (m *Manager) bury(ctx context.Context, path string) error {
	for offset := 1; ; offset++ {
		all, err := m.known(ctx, path)
		if err != nil || len(all) == 0 {
			return err
		}
		spec := api.SecretSpec{Data: []byte("deleted")} // Docker takes no empty one
		spec.Labels = map[string]string{labelDeleted: "true"}
		if _, err = m.create(ctx, path, all[0].number+offset, spec); !errors.Is(err, secret.ErrConflict) ||
			offset == maxConflicts {
			return err
		}
	}
}

// removeOne removes a version; one that is gone already counts.
func (m *Manager) removeOne(ctx context.Context, h held) error {
	_, err := m.docker.SecretRemove(ctx, h.docker.ID, client.SecretRemoveOptions{})
	if err == nil {
		return nil
	}
	if err = reason(ctx, err); errors.Is(err, secret.ErrNotFound) {
		return nil
	}
	if errors.Is(err, errRefused) {
		return fault.WithHint(fmt.Errorf("version %d: %w", h.number, err),
			"a service began to use it meanwhile; try again")
	}
	return err
}

// Prune removes the versions of path that no service uses, nor would use after `docker service rollback`, apart from
// the keep newest ones (at least one), and returns what it has removed, oldest first.
func (m *Manager) Prune(ctx context.Context, path string, keep int) ([]secret.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	removed, err := m.prune(ctx, path, max(keep, 1))
	if err != nil {
		return removed, m.failed("pruning", path, err)
	}
	return removed, nil
}

func (m *Manager) prune(ctx context.Context, path string, keep int) (removed []secret.Version, err error) {
	all, err := m.family(ctx, path)
	if err != nil {
		return nil, err
	}
	users, err := m.users(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range slices.Backward(all[min(keep, len(all)):]) {
		if u := users[h.docker.ID]; len(u.now) > 0 || len(u.before) > 0 {
			continue
		}
		err := m.removeOne(ctx, h)
		switch {
		case errors.Is(err, errRefused): // in use since a moment ago: then it stays
		case err != nil:
			return removed, err
		default:
			removed = append(removed, h.describe(false))
		}
	}
	return removed, nil
}

// uses are the names of services that have a secret mounted, and that had before their last update.
type uses struct{ now, before []string }

// users returns who uses what, by Docker's id of the secret.
func (m *Manager) users(ctx context.Context) (map[string]uses, error) {
	services, err := m.docker.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return nil, reason(ctx, err)
	}
	all := make(map[string]uses)
	for _, s := range services.Items {
		for _, id := range mountedIn(&s.Spec) {
			u := all[id]
			u.now = append(u.now, s.Spec.Name)
			all[id] = u
		}
		for _, id := range mountedIn(s.PreviousSpec) {
			u := all[id]
			u.before = append(u.before, s.Spec.Name)
			all[id] = u
		}
	}
	return all, nil
}

func mountedIn(spec *api.ServiceSpec) (ids []string) {
	if spec == nil || spec.TaskTemplate.ContainerSpec == nil {
		return nil
	}
	for _, ref := range spec.TaskTemplate.ContainerSpec.Secrets {
		ids = append(ids, ref.SecretID)
	}
	return ids
}
