package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// brokerPort is the variable of the port on which n8n's task broker listens. Two n8n in one container need two.
const brokerPort = "N8N_RUNNERS_BROKER_PORT"

// leftover is how long the end of what a killed n8n has started is waited for.
const leftover = time.Second

var workflowID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// IsWorkflowID tells whether a text can be the id of a workflow. None begins with a dash.
func IsWorkflowID(id string) bool { return workflowID.MatchString(id) && id[0] != '-' }

// Self is this process's environment in the place of n8n's, for when no n8n runs here.
func Self(environ []string) Process {
	return Process{PID: os.Getpid(), environ: parse(strings.Join(environ, "\x00"))}
}

// Execute runs a workflow with `n8n execute`, in an n8n of its own with the environment of this one, and tells whether
// it ended well. Its output is dropped: it shows the data of the workflow. An *exec.ExitError says how it ended
// otherwise.
func (p Process) Execute(ctx context.Context, id string) error {
	if !IsWorkflowID(id) {
		return fmt.Errorf("executing a workflow: %q is no id of one", id)
	}
	if p.Hidden != nil {
		return fmt.Errorf("executing a workflow: reading the environment of n8n: %w", p.Hidden)
	}
	port, err := freePort(ctx)
	if err != nil {
		return fmt.Errorf("executing a workflow: %w", err)
	}
	argv := append(p.program(), "execute", "--id="+id)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the n8n that runs here
	cmd.Env = []string{brokerPort + "=" + port}
	for name, value := range p.environ {
		if name != brokerPort {
			cmd.Env = append(cmd.Env, name+"="+string(value.Reveal()))
		}
	}
	cmd.WaitDelay = leftover
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its task runners are killed with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Run(); err != nil {
		if _, ended := errors.AsType[*exec.ExitError](err); ended {
			return err
		}
		return fmt.Errorf("executing a workflow: %w", err)
	}
	return nil
}

// program is the beginning of the command by which n8n runs, up to n8n itself; n8n from PATH if it does not show.
func (p Process) program() []string {
	i := slices.IndexFunc(p.argv, func(arg string) bool {
		return path.Base(arg) == "n8n" || path.Base(arg) == "n8n.js"
	})
	if i > 0 || i == 0 && path.IsAbs(p.argv[0]) {
		return slices.Clone(p.argv[:i+1])
	}
	for _, program := range onPath(p.Lookup) {
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return []string{program}
		}
	}
	return []string{"n8n"}
}

// freePort is a port that nobody listens on now.
func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}
