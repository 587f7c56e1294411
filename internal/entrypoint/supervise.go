package entrypoint

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

// drain is how long the rest of the program's output is waited for when it has ended and something below it holds on to
// the pipe.
const drain = 2 * time.Second

// supervisor runs the program as a child, one after the other.
type supervisor struct {
	*runner
	current  *launch
	earlier  []secret.Value // of the launch before: the program's output may still have them
	next     *launch        // what the child is being replaced by
	grace    *time.Timer
	terminal *terminal
	stopping bool // a signal from outside has asked the program to end
}

// supervise runs the program until it ends by itself or by a signal that is passed on.
func (r *runner) supervise(ctx context.Context, first *launch, ends <-chan os.Signal) error {
	hide(r.Note)
	signals := make(chan os.Signal, 32)
	signal.Notify(signals)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(ctx)
	var background guard.Group
	defer background.Wait()
	defer cancel()

	reap := newReaper(r.Reap)
	background.Go("reaping", func() { guard.Loop(ctx, "reaping", reap.run, r.broke) })
	fresh := make(chan *launch)
	if r.Watch {
		background.Go("watching", func() {
			guard.Loop(ctx, "watching for changes", func(ctx context.Context) { r.watch(ctx, first, fresh) }, r.broke)
		})
	}
	s := &supervisor{runner: r, current: first, grace: time.NewTimer(0), terminal: terminalOf(r.Stdin)}
	defer s.terminal.takeBack()
	if !s.grace.Stop() {
		<-s.grace.C
	}
	select {
	case sig := <-ends:
		return ended(sig)
	default:
	}
	return s.run(signals, fresh, reap)
}

// run is the life of one child after the other.
func (s *supervisor) run(signals <-chan os.Signal, fresh <-chan *launch, reap *reaper) error {
	child, err := s.start(reap)
	for err == nil {
		select {
		case sig := <-signals:
			s.pass(child, sig, reap)
		case l := <-fresh:
			s.replaceBy(child, l)
		case <-s.grace.C:
			s.Note("%s has not ended within %v of TERM; killing it", s.Argv[0], s.Grace)
			child.kill()
		case end := <-child.done:
			if s.next == nil || s.stopping {
				return end.exit()
			}
			s.grace.Stop()
			child.kill() // what it has left behind, which may hold its ports
			s.earlier, s.current, s.next = s.current.held, s.next, nil
			child, err = s.start(reap)
		}
	}
	return err
}

// pass hands a signal on, unless it is this process's own affair.
func (s *supervisor) pass(child *child, sig os.Signal, reap *reaper) {
	switch sig {
	case syscall.SIGCHLD:
		reap.poke()
		return
	case syscall.SIGURG, syscall.SIGPIPE, syscall.SIGTTIN, syscall.SIGTTOU:
		return // the Go runtime's, and those that our own writing brings about
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
		s.stopping = true // whatever the program makes of it, it is not started again
	}
	child.signal(sig)
}

// replaceBy asks the child to make room for another.
func (s *supervisor) replaceBy(child *child, l *launch) {
	if s.stopping {
		return
	}
	s.Note("a secret has changed: restarting %s", s.Argv[0])
	s.next = l
	child.signal(syscall.SIGTERM)
	s.grace.Reset(s.Grace)
}

// child is a running program.
type child struct {
	cmd  *exec.Cmd
	done chan end
}

// end is how a child has ended.
type end struct {
	state *os.ProcessState
	err   error
}

// start starts the program with the current values.
func (s *supervisor) start(reap *reaper) (*child, error) {
	cmd := s.command()
	var masks []io.Closer
	if s.Mask != nil {
		wrap := s.Mask(slices.Concat(s.current.held, s.earlier))
		out, err := guardedWriter{wrap(s.Stdout)}, guardedWriter{wrap(s.Stderr)}
		cmd.Stdout, cmd.Stderr, masks = out, err, []io.Closer{out, err}
	}
	if err := reap.starting(cmd.Start, func() int { return cmd.Process.Pid }); err != nil {
		if sys, ok := errors.AsType[syscall.Errno](err); ok {
			return nil, tooBig(unfit(s.program, sys), s.current)
		}
		return nil, unfit(s.program, err)
	}
	c := &child{cmd: cmd, done: make(chan end, 1)}
	guard.Go("waiting for the program", func() {
		err := cmd.Wait()
		for _, m := range masks {
			_ = m.Close() // writes what it has held back
		}
		c.done <- end{cmd.ProcessState, err}
	}, func(why *fault.Panic) { c.done <- end{cmd.ProcessState, why} })
	return c, nil
}

// guardedWriter is what os/exec writes to in a goroutine of its own. A panic ends that output, which cannot be masked
// any more, and not the program.
type guardedWriter struct{ io.WriteCloser }

// Write implements io.Writer.
func (w guardedWriter) Write(p []byte) (n int, err error) {
	defer fault.Recover("masking output", &err)
	return w.WriteCloser.Write(p)
}

// Close implements io.Closer.
func (w guardedWriter) Close() error { return guard.Try("masking output", w.WriteCloser.Close) }

// broke tells of a panic in the background.
func (r *runner) broke(why *fault.Panic) {
	r.Note("warning: %s; this is a mistake in Sallyport\n%s", why, why.Stack)
}

// command is the program in a process group of its own, so that all of it can be killed, and a terminal's signals reach
// it once.
func (s *supervisor) command() *exec.Cmd {
	cmd := &exec.Cmd{
		Path: s.program, Args: s.Argv, Env: s.current.environ, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr,
		WaitDelay: drain, SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	s.terminal.hand(cmd.SysProcAttr)
	return cmd
}

func (c *child) signal(sig os.Signal) { _ = c.cmd.Process.Signal(sig) } // it may have ended, which is told by done

// kill ends the whole process group.
func (c *child) kill() { _ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) }

// exit is the end as the exit code that this process has to have.
func (e end) exit() error {
	if e.state == nil {
		return e.err
	}
	if status, ok := e.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &ExitError{Code: exitOf(status.Signal())}
	}
	return &ExitError{Code: e.state.ExitCode()}
}
