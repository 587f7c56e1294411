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
	"sallyport/internal/secret"
)

// held is one version of a secret in Docker.
type held struct {
	path   string
	number int
	docker api.Secret
	gone   bool // it stands for versions that were deleted
}

func (h held) describe(newest bool) secret.Version {
	return secret.Version{ID: strconv.Itoa(h.number), Created: h.docker.CreatedAt.UTC(), Current: newest}
}

// versions returns what Docker has of path, newest first; of all secrets of ours, by path, when path is "".
func (m *Manager) versions(ctx context.Context, path string) ([]held, error) {
	all, err := m.known(ctx, path)
	return slices.DeleteFunc(all, func(h held) bool { return h.gone }), err
}

// known is versions with what stands for the deleted ones.
func (m *Manager) known(ctx context.Context, path string) ([]held, error) {
	label := labelName
	if path != "" {
		label += "=" + path
	}
	list, err := m.docker.SecretList(ctx, client.SecretListOptions{Filters: make(client.Filters).Add("label", label)})
	if err != nil {
		return nil, reason(ctx, err)
	}
	var all []held
	for _, one := range list.Items {
		number, ok := parseNumber(one.Spec.Labels[labelVersion])
		name := one.Spec.Labels[labelName]
		if ok && (path == "" || name == path) {
			all = append(all, held{path: name, number: number, docker: one, gone: one.Spec.Labels[labelDeleted] != ""})
		}
	}
	slices.SortFunc(all, func(a, b held) int {
		return cmp.Or(strings.Compare(a.path, b.path), b.number-a.number)
	})
	return all, nil
}

// reason sorts what the client says into the port's vocabulary. What the engine wrote stays out of it.
func reason(ctx context.Context, err error) error {
	switch dockerapi.WhyOf(ctx, err) {
	case dockerapi.Cancelled:
		return context.Canceled
	case dockerapi.Slow:
		return unavailable("Docker did not answer in time", "see whether the swarm has a leader: `docker node ls`")
	case dockerapi.SocketShut:
		return fault.WithHint(fmt.Errorf("%w: Docker's socket cannot be opened by this user", secret.ErrDenied),
			"add this user to the socket's group; whoever may use the socket is as good as root on that machine")
	case dockerapi.Denied:
		return fault.WithHint(fmt.Errorf("%w: what guards Docker's API refuses", secret.ErrDenied),
			"allow /secrets, and /services and /tasks for rolling, in the socket proxy or the authorization plugin")
	case dockerapi.Missing:
		return secret.ErrNotFound
	case dockerapi.Conflict:
		return secret.ErrConflict
	case dockerapi.Invalid:
		return errRefused
	case dockerapi.NoManager:
		return unavailable("this engine does not manage a swarm",
			"point `host` at a manager (`docker node ls` works there), or make a swarm: `docker swarm init`")
	case dockerapi.Unreachable:
		return unavailable("Docker cannot be reached",
			"see whether it runs, and that `host` of the store (of a command: --docker-host or DOCKER_HOST) is its "+
				"socket; in a container the socket has to be mounted")
	case dockerapi.Strange:
	}
	return unavailable("what answers is not a Docker engine in good order", "run `docker node ls` with the same host")
}

// errRefused is an answer of the engine to what it understood and does not do.
var errRefused = errors.New("Docker refuses") //nolint:staticcheck // a name
