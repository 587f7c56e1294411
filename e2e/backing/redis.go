package backing

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"

	"sallyport/e2e/process"
)

// Redis is a running Redis that wants a password.
type Redis struct {
	*process.Process
	Port string
}

// StartRedis starts the program with folder for its data: an append-only file, so that all it is told comes to be on
// disk.
func StartRedis(ctx context.Context, program, folder, password string) (*Redis, error) {
	ports, err := process.FreePorts(1)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, "-") // "-": the configuration comes by stdin
	cmd.Dir = folder
	cmd.Stdin = strings.NewReader(fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %q\nappendonly yes\nrequirepass %q\n",
		ports[0], folder, password))
	r := &Redis{Port: ports[0]}
	if r.Process, err = process.Start(cmd); err != nil {
		return nil, err
	}
	if err := r.AwaitLog(ctx, patience, "Ready to accept connections"); err != nil {
		r.Down()
		return nil, err
	}
	return r, nil
}

// Down ends the process, which has written everything then.
func (r *Redis) Down() { r.Stop(syscall.SIGTERM) }
