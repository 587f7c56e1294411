package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// dial makes a client that contacts nobody yet and finds the API's version at its first call.
func dial(host string) (*client.Client, error) {
	u, err := url.Parse(host)
	switch {
	case host == "":
		return nil, fault.WithHint(errors.New("there is no Docker host"), "set `host`, such as unix:///var/run/docker.sock")
	case err != nil || !slices.Contains([]string{"unix", "tcp", "http", "https"}, u.Scheme):
		return nil, fault.WithHint(errors.New("the Docker host is not one"), "write unix:///var/run/docker.sock, or https://HOST:PORT")
	case u.Scheme != "unix" && u.Scheme != "https" && !isLoopback(u.Hostname()):
		return nil, fault.WithHint(errors.New("the Docker host would get secrets in the clear"), "use its unix socket, https, or a tunnel that ends on this machine")
	}
	return bounded(host)
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

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
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case ctx.Err() != nil, isTimeout(err):
		return unavailable("Docker did not answer in time", "see whether the swarm has a leader: `docker node ls`")
	case errors.Is(err, fs.ErrPermission):
		return fault.WithHint(fmt.Errorf("%w: Docker's socket cannot be opened by this user", secret.ErrDenied), "add this user to the socket's group; whoever may use the socket is as good as root on that machine")
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return fault.WithHint(fmt.Errorf("%w: what guards Docker's API refuses", secret.ErrDenied), "allow /secrets, and /services and /tasks for rolling, in the socket proxy or the authorization plugin")
	case errdefs.IsNotFound(err):
		return secret.ErrNotFound
	case errdefs.IsConflict(err), errdefs.IsAlreadyExists(err):
		return secret.ErrConflict
	case errdefs.IsInvalidArgument(err):
		return errRefused
	case errdefs.IsUnavailable(err):
		return unavailable("this engine does not manage a swarm", "point `host` at a manager (`docker node ls` works there), or make a swarm: `docker swarm init`")
	case client.IsErrConnectionFailed(err):
		return unavailable("Docker cannot be reached", "see whether it runs, and that `host` of the store (of a command: --docker-host or DOCKER_HOST) is its socket; in a container the socket has to be mounted")
	}
	return unavailable("what answers is not a Docker engine in good order", "run `docker node ls` with the same host")
}

// errRefused is an answer of the engine to what it understood and does not do.
var errRefused = errors.New("Docker refuses") //nolint:staticcheck // a name

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &timeout) && timeout.Timeout()) || errors.Is(err, syscall.ETIMEDOUT)
}
