package exec

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"syscall"
	"time"
)

const (
	maxStderr = 4 << 10
	// leftover is how long the output of a command that has ended is waited for, while something it has started keeps
	// it open.
	leftover = time.Second
)

// result is how a run ended.
type result struct {
	stdout, stderr []byte
	tooMuch        bool
	timedOut       bool
	err            error // as os/exec has it
}

// errTooMuch is why a command was killed that prints without end.
var errTooMuch = errors.New("the output is too large")

// run runs the command until it ends, or until its time or its output runs out.
func (s *Store) run(ctx context.Context, args []string) result {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	limit := time.AfterFunc(s.options.Timeout, func() { stop(context.DeadlineExceeded) })
	defer limit.Stop()

	stdout := &bounded{most: MaxValue + len("\r\n"), full: func() { stop(errTooMuch) }}
	stderr := &bounded{most: maxStderr, full: func() {}}           // the rest is dropped
	cmd := exec.CommandContext(ctx, s.options.Command[0], args...) //nolint:gosec // running the operator's command is what this store does
	cmd.Env = s.environ
	if cmd.Env == nil {
		cmd.Env = []string{} // nil is this process's environment
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = leftover
	// A group of its own, so that what the command has started is killed with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	err := cmd.Start()
	if err == nil {
		err = cmd.Wait()
		_ = killGroup(cmd.Process.Pid) // what it left behind; mostly nothing
	}
	cause := context.Cause(ctx)
	return result{
		stdout: stdout.kept.Bytes(), stderr: stderr.kept.Bytes(), err: err,
		tooMuch: errors.Is(cause, errTooMuch), timedOut: errors.Is(cause, context.DeadlineExceeded),
	}
}

// killGroup kills a process group at once: a command that ignores SIGTERM is not asked twice.
func killGroup(leader int) error { return syscall.Kill(-leader, syscall.SIGKILL) }

// bounded keeps the beginning of what is written to it, and tells once it is full. Its writer never fails: a command
// that prints much to stderr shall not die of it.
type bounded struct {
	kept bytes.Buffer
	most int
	full func()
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.most - b.kept.Len()
	b.kept.Write(p[:min(room, len(p))])
	if len(p) > room {
		b.full()
	}
	return len(p), nil
}

// trimNewline removes one line break at the end.
func trimNewline(b []byte) []byte {
	if line, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(line, []byte("\r"))
	}
	return b
}
