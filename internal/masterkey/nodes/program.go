package nodes

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
	maxStdout = 4 << 20 // a list of containers, in bytes
	maxStderr = 4 << 10 // in bytes; the rest is dropped
	maxLine   = 200     // of what a program says, in characters
	// leftover is how long the output of a program that has ended is waited for, while something it has started keeps it open.
	leftover = time.Second
)

// ended is how a program ended.
type ended struct {
	stdout []byte
	said   string // the first line of stderr, clean and short
	exit   int    // -1 when it did not end by itself
	err    error  // why it could not be run to its end
}

// run runs a program without a shell and without input, until it ends or ctx does.
func run(ctx context.Context, argv []string) ended {
	stdout, stderr := &bounded{most: maxStdout}, &bounded{most: maxStderr}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // docker, kubectl, nomad, or the operator's own command
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = leftover
	// A group of its own, so that what it has started is killed with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	e := ended{stdout: stdout.kept.Bytes(), said: firstLine(stderr.kept.Bytes()), exit: -1}
	exit, isExit := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		e.err = ctx.Err()
	case err == nil:
		e.exit = 0
	case isExit:
		e.exit = exit.ExitCode()
	case errors.Is(err, exec.ErrNotFound):
		e.err = fmt.Errorf("%s is not on PATH", clean(argv[0]))
	case errors.Is(err, exec.ErrWaitDelay):
		e.exit = 0
	default:
		e.err = fmt.Errorf("running %s: %w", clean(argv[0]), err)
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
		if line = clean(line); line != "" {
			return line
		}
	}
	return ""
}

// clean makes what another process wrote fit for a terminal: one line, without control characters, and short.
func clean(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' }), " ")
	if short := []rune(text); len(short) > maxLine {
		return string(short[:maxLine]) + "…"
	}
	return text
}
