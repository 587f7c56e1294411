// Package compose is a fleet of the containers of a Docker Compose project, on one engine. A unit is a container, which
// is restarted in place.
//
// A container that is restarted runs what it was made of: its image, its environment, the files that are mounted into
// it, of which the content may be another one. What the Compose file says now, `docker compose up` alone gives it.
//
// Invariant: of what Docker answers nothing gets into an error but what this package knows the words of.
package compose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"sallyport/internal/dockerapi"
	"sallyport/internal/fault"
	"sallyport/internal/fleet"
)

const (
	callTime = 10 * time.Second
	// stopTime goes beside the grace that n8n has, in which the engine stops a container and starts it.
	stopTime = time.Minute

	labelProject = "com.docker.compose.project"
	labelService = "com.docker.compose.service"
)

// Options say which containers, and where Docker is.
type Options struct {
	Host     string   // the Docker API: see dockerapi.Dial
	Project  string   // of Compose
	Services []string // of the project, in the order of restart
}

// Fleet is a fleet of kind compose. It is safe for concurrent use.
type Fleet struct {
	docker  *client.Client
	options Options
}

// New checks o and contacts nobody.
func New(o Options) (*Fleet, error) {
	docker, err := dockerapi.Dial(o.Host)
	if err != nil {
		return nil, fmt.Errorf("setting up a fleet of kind compose: %w", err)
	}
	return &Fleet{docker: docker, options: o}, nil
}

// Close lets go of the connections.
func (f *Fleet) Close() error { return f.docker.Close() }

// List implements fleet.Orchestrator: service by service, and within one by the containers' names.
func (f *Fleet) List(ctx context.Context) ([]fleet.Unit, error) {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	mine := make(client.Filters).Add("label", labelProject+"="+f.options.Project)
	found, err := f.docker.ContainerList(limited, client.ContainerListOptions{All: true, Filters: mine})
	if err != nil {
		return nil, fmt.Errorf("listing the containers of project %q: %w", f.options.Project, reason(ctx, err))
	}
	var units []fleet.Unit
	for _, service := range f.options.Services {
		names, err := namesOf(found.Items, service)
		if err != nil {
			return nil, fmt.Errorf("listing the containers of project %q: %w", f.options.Project, err)
		}
		for _, name := range names {
			u, err := f.Look(ctx, name)
			if errors.Is(err, fleet.ErrGone) {
				continue // removed in between
			}
			if err != nil {
				return nil, err
			}
			units = append(units, u)
		}
	}
	return units, nil
}

// namesOf are the names of a service's containers. None is a mistake in the configuration, or a service that is down.
func namesOf(all []container.Summary, service string) (names []string, err error) {
	for _, c := range all {
		if c.Labels[labelService] == service && c.Labels["com.docker.compose.oneoff"] != "True" && len(c.Names) > 0 {
			names = append(names, strings.TrimPrefix(c.Names[0], "/"))
		}
	}
	if len(names) == 0 {
		return nil, fault.WithHint(fmt.Errorf("service %q has no container", service),
			"`docker compose ps --all` shows the services that have, and `docker compose up -d` makes them")
	}
	slices.SortFunc(names, byNumber)
	return names, nil
}

// byNumber puts n8n-worker-2 before n8n-worker-10.
func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// Look implements fleet.Orchestrator.
func (f *Fleet) Look(ctx context.Context, unit string) (fleet.Unit, error) {
	c, err := f.inspect(ctx, unit)
	if err != nil {
		return fleet.Unit{}, err
	}
	return f.describe(unit, c), nil
}

// Restart implements fleet.Orchestrator. It returns when the container has been started again.
func (f *Fleet) Restart(ctx context.Context, unit string, grace time.Duration) error {
	return f.do(ctx, "restarting", unit, grace, func(ctx context.Context, c container.InspectResponse,
		seconds *int,
	) error {
		if !running(c) {
			return nil // a stopped unit stays stopped
		}
		_, err := f.docker.ContainerRestart(ctx, c.ID, client.ContainerRestartOptions{Timeout: seconds})
		return err
	})
}

// Stop implements fleet.Scaler.
func (f *Fleet) Stop(ctx context.Context, unit string, grace time.Duration) error {
	return f.do(ctx, "stopping", unit, grace, func(ctx context.Context, c container.InspectResponse,
		seconds *int,
	) error {
		_, err := f.docker.ContainerStop(ctx, c.ID, client.ContainerStopOptions{Timeout: seconds})
		return err
	})
}

// Start implements fleet.Scaler: a container is one node.
func (f *Fleet) Start(ctx context.Context, unit string, _ int) error {
	return f.do(ctx, "starting", unit, 0, func(ctx context.Context, c container.InspectResponse, _ *int) error {
		_, err := f.docker.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
		return err
	})
}

func (f *Fleet) do(ctx context.Context, doing, unit string, grace time.Duration,
	call func(context.Context, container.InspectResponse, *int) error,
) error {
	c, err := f.inspect(ctx, unit)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, grace+stopTime)
	defer cancel()
	seconds := int((grace + time.Second - 1) / time.Second)
	if err := call(limited, c, &seconds); err != nil {
		return fmt.Errorf("%s container %q: %w", doing, unit, reason(ctx, err))
	}
	return nil
}

func (f *Fleet) inspect(ctx context.Context, unit string) (container.InspectResponse, error) {
	failed := func(err error) (container.InspectResponse, error) {
		return container.InspectResponse{}, fmt.Errorf("looking at container %q: %w", unit, err)
	}
	// Docker's client makes a path of it
	if unit == "" || strings.ContainsAny(unit, "/ ") || strings.HasPrefix(unit, "-") {
		return failed(noContainer())
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	found, err := f.docker.ContainerInspect(limited, unit, client.ContainerInspectOptions{})
	if err != nil {
		return failed(reason(ctx, err))
	}
	c := found.Container
	if c.Config == nil || c.State == nil || c.Config.Labels[labelProject] != f.options.Project {
		return failed(noContainer())
	}
	return c, nil
}

func noContainer() error { return fleet.Gone("`docker compose ps --all` lists those of the project") }

func running(c container.InspectResponse) bool { return c.State.Running || c.State.Restarting }

// describe is a container as the port has it.
func (f *Fleet) describe(name string, c container.InspectResponse) fleet.Unit {
	u := fleet.Unit{Name: name, Want: 1, Generation: c.ID + " " + c.State.StartedAt}
	u.State, u.Problem = state(c)
	if u.State == fleet.Stopped {
		u.Want = 0
		return u
	}
	if !running(c) {
		return u
	}
	node := fleet.Node{
		Name: name, Way: fleet.NewWay("docker", name, "host", f.options.Host), Ready: u.State == fleet.Ready,
		Instance: u.Generation + " " + strconv.Itoa(c.RestartCount),
	}
	if c.NetworkSettings != nil {
		for _, network := range c.NetworkSettings.Networks {
			if network != nil && network.IPAddress.IsValid() {
				node.Address = network.IPAddress.String()
			}
		}
	}
	u.Nodes = []fleet.Node{node}
	return u
}

func state(c container.InspectResponse) (state fleet.State, problem string) {
	s := c.State
	switch {
	case s.Restarting:
		return fleet.Failed, fmt.Sprintf("it ends again and again, last with %d: see `docker logs`", s.ExitCode)
	case s.Paused:
		return fleet.Changing, "it is paused"
	case s.Running && s.Health != nil && s.Health.Status == container.Unhealthy:
		return fleet.Changing, "its health check fails"
	case s.Running && s.Health != nil && s.Health.Status == container.Starting:
		return fleet.Changing, "its health check has not passed yet"
	case s.Running:
		return fleet.Ready, ""
	case s.Status == container.StateCreated, ended(s.ExitCode):
		return fleet.Stopped, ""
	}
	return fleet.Failed, fmt.Sprintf("it has ended with %d: see `docker logs`", s.ExitCode)
}

// ended tells whether a program that ends with this code was told to: by itself, by SIGTERM, by SIGINT, or killed after
// them.
func ended(code int) bool { return slices.Contains([]int{0, 130, 137, 143}, code) }

// reason puts what Docker's client says into the port's words. What the engine wrote stays out of it.
func reason(ctx context.Context, err error) error {
	switch dockerapi.WhyOf(ctx, err) {
	case dockerapi.Cancelled:
		return context.Canceled
	case dockerapi.Slow:
		return fleet.Unreachable("Docker did not answer in time", "see whether `docker ps` answers there")
	case dockerapi.SocketShut:
		return fault.WithHint(fmt.Errorf("%w: Docker's socket cannot be opened by this user", fleet.ErrNotAllowed),
			"add this user to the socket's group; whoever may use the socket is as good as root on that machine")
	case dockerapi.Denied:
		return fault.WithHint(fmt.Errorf("%w: what guards Docker's API refuses", fleet.ErrNotAllowed),
			"allow /containers, and POST for restarting, in the socket proxy or the authorization plugin")
	case dockerapi.Missing:
		return noContainer()
	case dockerapi.Conflict, dockerapi.Invalid, dockerapi.NoManager:
		return fault.WithHint(errors.New("Docker refuses it"), "see what `docker restart` says") //nolint:staticcheck // a name
	case dockerapi.Unreachable:
		return fleet.Unreachable("Docker cannot be reached",
			"see whether it runs, and that `host` of the fleet is its socket; in a container the socket has to be "+
				"mounted")
	case dockerapi.Strange:
	}
	return fleet.Unreachable("what answers is not a Docker engine in good order", "run `docker ps` with the same host")
}
