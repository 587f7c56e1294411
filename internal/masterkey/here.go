package masterkey

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"

	"sallyport/internal/n8n/environment"
	"sallyport/internal/n8n/process"
)

// Here is the place that this program runs in: the n8n of this container, or an environment.
type Here struct {
	Role environment.Role // when it is known better than can be seen; ""
	// Workflow is one to be executed; "" for none.
	Workflow string
}

// InspectUnit looks at the n8n of a systemd unit of this machine.
func InspectUnit(unit, nonce string) (Local, error) {
	p, err := process.OfUnit(process.Proc, unit)
	if err != nil {
		return Local{}, err
	}
	l := Inspect(p.Lookup, nonce)
	l.Role, l.Version, l.Process = p.Role, p.Version(), p.PID
	for i, c := range l.Copies {
		l.Copies[i].From = p.Shown(c.From)
	}
	l.Host, _ = os.Hostname() // "" says as much
	return l, nil
}

// Inspect looks at the n8n that runs in this container, and, where none does, at the environment of this process.
func (h Here) Inspect(ctx context.Context, nonce string) Local {
	p, running := process.Find(process.Proc)
	role, readable := p.Role, running && p.Hidden == nil
	if !readable {
		p = process.Self(os.Environ())
	}
	l := Inspect(p.Lookup, nonce)
	l.Role, l.Version = role, p.Version()
	switch {
	case readable:
		l.Process = p.PID
	case running:
		l.Doubt = "is the container's: that of the n8n which runs here can be read by n8n's own user alone"
	}
	if h.Role != "" {
		l.Role = h.Role
	}
	l.Host, _ = os.Hostname() // "" says as much
	if h.Workflow != "" {
		l.Execution = execute(ctx, p, h.Workflow)
	}
	return l
}

func execute(ctx context.Context, p process.Process, workflow string) *Execution {
	err := p.Execute(ctx, workflow)
	e := &Execution{Workflow: workflow, OK: err == nil}
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		e.Problem = "it did not end in time"
	case ended && exit.ExitCode() >= 0:
		e.Problem = "n8n execute ended with " + strconv.Itoa(exit.ExitCode())
	case ended:
		e.Problem = "n8n execute was killed"
	default:
		e.Problem = "n8n cannot be started here: it is not on PATH"
	}
	return e
}
