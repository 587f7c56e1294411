package swarm

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/dockerapi"
	"sallyport/internal/fault"
	"sallyport/internal/fleet"
)

// reason puts what Docker's client says into the port's words. What the engine wrote stays out of it.
func reason(ctx context.Context, err error) error {
	switch dockerapi.WhyOf(ctx, err) {
	case dockerapi.Cancelled:
		return context.Canceled
	case dockerapi.Slow:
		return fleet.Unreachable("Docker did not answer in time",
			"see whether the swarm has a leader: `docker node ls`")
	case dockerapi.SocketShut:
		return fault.WithHint(fmt.Errorf("%w: Docker's socket cannot be opened by this user", fleet.ErrNotAllowed),
			"add this user to the socket's group; whoever may use the socket is as good as root on that machine")
	case dockerapi.Denied:
		return fault.WithHint(fmt.Errorf("%w: what guards Docker's API refuses", fleet.ErrNotAllowed),
			"allow /services and /tasks in the socket proxy or the authorization plugin")
	case dockerapi.Missing:
		return noService()
	case dockerapi.NoManager:
		return fleet.Unreachable("this engine does not manage a swarm",
			"point `host` at a manager: `docker node ls` works there")
	case dockerapi.Unreachable:
		return fleet.Unreachable("Docker cannot be reached",
			"see whether it runs, and that `host` of the fleet is its socket; in a container the socket has to be "+
				"mounted")
	case dockerapi.Conflict, dockerapi.Invalid:
		return fault.WithHint(errors.New("Docker refuses the update"), "see what `docker service update --force` says") //nolint:staticcheck // a name
	case dockerapi.Strange:
	}
	return fleet.Unreachable("what answers is not a Docker engine in good order",
		"run `docker node ls` with the same host")
}
