package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/dockerapi"
	"sallyport/internal/fault"
	"sallyport/internal/fleet"
)

// The labels by which package secret/swarm holds the versions of a secret together, and marks what stands for deleted
// ones. Docker's secrets cannot be changed: each version is one of its own.
const (
	labelName    = "sallyport.name"
	labelVersion = "sallyport.version"
	labelDeleted = "sallyport.deleted"
)

// version is one version of a secret.
type version struct {
	number   int
	id, name string // Docker's
}

// family returns the versions of a secret, the newest first. None is an error: the fleet is to take one.
func (f *Fleet) family(ctx context.Context, name string) ([]version, error) {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	list, err := f.docker.SecretList(limited, client.SecretListOptions{
		Filters: make(client.Filters).Add("label", labelName+"="+name),
	})
	if err != nil {
		return nil, reason(ctx, err)
	}
	var all []version
	for _, s := range list.Items {
		number, err := strconv.Atoi(s.Spec.Labels[labelVersion])
		if err == nil && s.Spec.Labels[labelName] == name && s.Spec.Labels[labelDeleted] == "" {
			all = append(all, version{number, s.ID, s.Spec.Name})
		}
	}
	slices.SortFunc(all, func(a, b version) int { return cmp.Compare(b.number, a.number) })
	if len(all) == 0 {
		return nil, fault.WithHint(fmt.Errorf("the swarm has no version of secret %q", name),
			"`sallyport secret set` makes one in a store of kind swarm; those that it made have the label "+labelName)
	}
	return all, nil
}

// renew has a service mount the newest version of each of the fleet's secrets in the place of an older one: target,
// owner and mode stay as they are. What is mounted under a version's own name was mounted to be that version, and
// stays.
func (f *Fleet) renew(ctx context.Context, spec *api.ServiceSpec) error {
	c := spec.TaskTemplate.ContainerSpec
	for _, name := range f.secrets {
		all, err := f.family(ctx, name)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		for _, ref := range c.Secrets {
			is := func(v version) bool { return v.id == ref.SecretID }
			if ref.File != nil && ref.File.Name != ref.SecretName && slices.ContainsFunc(all, is) {
				ref.SecretID, ref.SecretName = all[0].id, all[0].name
			}
		}
	}
	return nil
}

// Tidy implements fleet.Tidier: it removes the versions of the fleet's secrets that no service of the swarm mounts, nor
// would mount again after `docker service rollback`, apart from the newest ones that are kept.
func (f *Fleet) Tidy(ctx context.Context) (removed []string, err error) {
	if f.keep == 0 || len(f.secrets) == 0 {
		return nil, nil
	}
	for _, name := range f.secrets {
		gone, err := f.tidy(ctx, name)
		removed = append(removed, gone...)
		if err != nil {
			return removed, fmt.Errorf("removing old versions of secret %q: %w", name, err)
		}
	}
	return removed, nil
}

func (f *Fleet) tidy(ctx context.Context, name string) (removed []string, err error) {
	all, err := f.family(ctx, name)
	if err != nil {
		return nil, err
	}
	inUse, err := f.mounted(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range slices.Backward(all[min(f.keep, len(all)):]) { // the oldest first
		if inUse[v.id] {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, callTime)
		_, err := f.docker.SecretRemove(limited, v.id, client.SecretRemoveOptions{})
		cancel()
		switch why := dockerapi.WhyOf(ctx, err); {
		case err == nil:
			removed = append(removed, v.name)
		case why == dockerapi.Missing, why == dockerapi.Invalid: // removed meanwhile, or in use since a moment ago
		default:
			return removed, reason(ctx, err)
		}
	}
	return removed, nil
}

// mounted are the secrets, by Docker's id, that a service has, or had before its last update, or a container still has.
func (f *Fleet) mounted(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	services, err := f.docker.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return nil, reason(ctx, err)
	}
	tasks, err := f.docker.TaskList(ctx, client.TaskListOptions{
		Filters: make(client.Filters).Add("desired-state", "running"),
	})
	if err != nil {
		return nil, reason(ctx, err)
	}
	all := make(map[string]bool)
	add := func(t *api.TaskSpec) {
		if t.ContainerSpec == nil {
			return
		}
		for _, ref := range t.ContainerSpec.Secrets {
			all[ref.SecretID] = true
		}
	}
	for _, s := range services.Items {
		add(&s.Spec.TaskTemplate)
		if s.PreviousSpec != nil {
			add(&s.PreviousSpec.TaskTemplate)
		}
	}
	for _, t := range tasks.Items {
		add(&t.Spec)
	}
	return all, nil
}

// checkSecret refuses what cannot be the name of a secret.
func checkSecret(name string) error {
	if name == "" || len(name) > 200 || strings.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' }) {
		return errors.New("is no name of a secret")
	}
	return nil
}

var _ fleet.Tidier = (*Fleet)(nil)
