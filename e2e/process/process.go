// Package process runs one program for the end-to-end tests: its output kept, its end waited for, and taken down by
// process id together with what it has started. It knows none of the programs.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrExited says that the program has ended while something was expected of it.
var ErrExited = errors.New("it has ended")

// Process is a program that has been started.
type Process struct {
	cmd    *exec.Cmd
	output output
	exited chan struct{}
}

// Start starts cmd, whose output is kept.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.WaitDelay = 5 * time.Second // what it leaves behind may hold its output open
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(cmd.Path), err)
	}
	go func() {
		defer close(p.exited)
		cmd.Wait()
	}()
	return p, nil
}

// ID is its process id.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Exited is closed when it has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode is what it has ended with, and -1 when that was a signal. It waits for the end.
func (p *Process) ExitCode() int {
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}

// Log is what it has written to stdout and stderr so far.
func (p *Process) Log() []byte { return p.output.Bytes() }

// Signal sends it a signal; one that comes too late is lost.
func (p *Process) Signal(sig syscall.Signal) { p.cmd.Process.Signal(sig) }

// Stop asks it to end by sig. If it takes longer than the programs here have reason to, it is killed, with everything
// that it has started.
func (p *Process) Stop(sig syscall.Signal) {
	p.Signal(sig)
	timer := time.NewTimer(40 * time.Second)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		for _, id := range p.Tree() {
			syscall.Kill(id, syscall.SIGKILL)
		}
		<-p.exited
	}
}

// Await asks until it is so. It gives up when the program has ended, ctx has, or the time is over, and then shows the
// end of the log.
func (p *Process) Await(ctx context.Context, within time.Duration, isSo func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !isSo() {
		select {
		case <-tick.C:
		case <-p.exited:
			return p.because(ErrExited)
		case <-ctx.Done():
			return p.because(ctx.Err())
		}
	}
	return nil
}

// AwaitLog waits until its output holds text.
func (p *Process) AwaitLog(ctx context.Context, within time.Duration, text string) error {
	return p.Await(ctx, within, func() bool { return bytes.Contains(p.Log(), []byte(text)) })
}

func (p *Process) because(err error) error {
	log := p.Log()
	return fmt.Errorf("waiting for %s: %w\n%s", filepath.Base(p.cmd.Path), err, log[max(0, len(log)-4000):])
}

// given are the ports that FreePorts has picked: a program takes seconds to listen, and tests run beside each other.
var given sync.Map

// FreePorts picks n ports of 127.0.0.1 that nothing listens on, none of them twice, for programs that cannot be told to
// pick their own.
func FreePorts(n int) ([]string, error) {
	var ports []string
	for len(ports) < n {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer listener.Close()
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		if _, twice := given.LoadOrStore(port, true); !twice {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// output is a bytes.Buffer that may be read while a process writes it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.buf.Bytes())
}
