// Package program runs other programs for what they answer: docker, kubectl, systemctl, or a command that someone
// names. There is no shell, no input but what a caller gives, and a bound on what is kept of what they write.
//
// Invariant: what a program has started ends with it or with the caller's context, and what it wrote is cleaned before
// anybody prints it.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode"
)

const (
	// MaxStdout is how much is kept of what a program prints, in bytes: the length of Ended.Stdout when there may be
	// more.
	MaxStdout = 4 << 20
	maxStderr = 4 << 10 // in bytes; the rest is dropped
	maxLine   = 200     // of what a program says, in characters
	// leftover is how long the output of a program that has ended is waited for, while something it has started keeps
	// it open.
	leftover = time.Second
)

// Ended is how a program ended.
type Ended struct {
	Stdout []byte
	Said   string // the first line of stderr, clean and short
	Exit   int    // -1 when it did not end by itself
	Err    error  // why it could not be run to its end
}

// Run runs a program without a shell and without input, until it ends or ctx does.
func Run(ctx context.Context, argv []string) Ended { return Command{Argv: argv}.Run(ctx) }

// Command is a program with what it is given.
type Command struct {
	Argv  []string // the program and its arguments, which anybody on the machine can read
	Env   []string // NAME=VALUE each; nil is this process's own
	Input []byte   // for its stdin
}

// Run is as the function Run.
func (c Command) Run(ctx context.Context) Ended {
	argv := c.Argv
	stdout, stderr := &bounded{most: MaxStdout}, &bounded{most: maxStderr}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // docker, kubectl, nomad, or the operator's own command
	cmd.Env, cmd.Stdout, cmd.Stderr = c.Env, stdout, stderr
	if c.Input != nil {
		cmd.Stdin = bytes.NewReader(c.Input)
	}
	cmd.WaitDelay = leftover
	// A group of its own, so that what it has started is killed with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind; none is no error
	}
	e := Ended{Stdout: stdout.kept.Bytes(), Said: firstLine(stderr.kept.Bytes()), Exit: -1}
	exit, isExit := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		e.Err = ctx.Err()
	case err == nil:
		e.Exit = 0
	case isExit:
		e.Exit = exit.ExitCode()
	case errors.Is(err, exec.ErrNotFound):
		e.Err = fmt.Errorf("%s is not on PATH", Clean(argv[0]))
	case errors.Is(err, exec.ErrWaitDelay):
		e.Exit = 0
	default:
		e.Err = fmt.Errorf("running %s: %w", Clean(argv[0]), err)
	}
	return e
}

// bounded keeps the beginning of what is written to it. Its writer never fails.
type bounded struct {
	kept bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.kept.Write(p[:min(b.most-b.kept.Len(), len(p))])
	return len(p), nil
}

// firstLine is the first line that is not empty.
func firstLine(text []byte) string {
	for line := range strings.Lines(string(text)) {
		if line = Clean(line); line != "" {
			return line
		}
	}
	return ""
}

// Clean makes what another process wrote fit for a terminal: one line, without control characters, and short.
func Clean(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' }), " ")
	if short := []rune(text); len(short) > maxLine {
		return string(short[:maxLine]) + "…"
	}
	return text
}
