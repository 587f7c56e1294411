package dockerapi

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// Why sorts what an engine, or the way to it, has said.
type Why int

// The reasons.
const (
	Strange     Why = iota // what answers is not an engine in good order
	Cancelled              // the caller's context was
	Slow                   // no response in time
	SocketShut             // this user may not open the socket
	Denied                 // what guards the API refuses
	Missing                // there is no such thing
	Conflict               // it is in another state, or there already
	Invalid                // the engine refuses what it was told
	NoManager              // the engine manages no swarm
	Unreachable            // there is no engine
)

// WhyOf sorts an error of the client's. ctx is the caller's own, without the time limit of the call.
func WhyOf(ctx context.Context, err error) Why {
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return Cancelled
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(),
		errors.Is(err, syscall.ETIMEDOUT):
		return Slow
	case errors.Is(err, fs.ErrPermission):
		return SocketShut
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return Denied
	case errdefs.IsNotFound(err):
		return Missing
	case errdefs.IsConflict(err), errdefs.IsAlreadyExists(err):
		return Conflict
	case errdefs.IsInvalidArgument(err):
		return Invalid
	case errdefs.IsUnavailable(err):
		return NoManager
	case client.IsErrConnectionFailed(err):
		return Unreachable
	}
	return Strange
}
