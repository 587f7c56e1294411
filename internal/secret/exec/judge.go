package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

const (
	maxLine = 200 // of stderr that is shown, in characters
	minSeen = 4   // shorter values are too likely to be in any text
)

// judge sorts how a run ended into the port's vocabulary; nil is a value.
func (s *Store) judge(ctx context.Context, r result) error {
	program := s.options.Command[0]
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case r.tooMuch:
		return unavailable("it prints more than 1 MiB and was killed", "see what the command prints for this path")
	case r.timedOut:
		return unavailable(s.tookTooLong(ctx),
			s.said(r,
				"see whether the command waits for input, a login or the network; `timeout` of the store is how long "+
					"it may take"))
	case errors.Is(r.err, exec.ErrNotFound), errors.Is(r.err, fs.ErrNotExist):
		return unavailable("there is no such program",
			fmt.Sprintf("install %s where this process finds it, or write its whole path in `command`", program))
	case errors.Is(r.err, fs.ErrPermission):
		return fault.WithHint(fmt.Errorf("%w: the program cannot be run", secret.ErrDenied),
			"let this user run it: chmod a+x "+program)
	case errors.As(r.err, &exit):
		return s.failure(exit, r)
	case errors.Is(r.err, exec.ErrWaitDelay):
		return unavailable("it has ended, but something that it started keeps its output open",
			"let the command start nothing in the background, or send that's output elsewhere")
	case r.err != nil:
		return unavailable("the command cannot be run: "+errnoOf(r.err), "run it by hand as this user")
	case len(trimNewline(r.stdout)) == 0:
		return unavailable("it printed nothing", s.said(r, "run the command by hand; its output is the secret"))
	case len(trimNewline(r.stdout)) > MaxValue:
		return unavailable("it prints more than 1 MiB", "see what the command prints for this path")
	}
	return nil
}

func (s *Store) tookTooLong(ctx context.Context) string {
	if ctx.Err() != nil {
		return "it was killed when the caller's time was over"
	}
	return fmt.Sprintf("it was killed after %s", s.options.Timeout)
}

// failure is a command that ended with something else than 0.
func (s *Store) failure(exit *exec.ExitError, r result) error {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return unavailable("the command was ended by a signal: "+status.Signal().String(),
			s.said(r, "see who kills it: the system, when memory runs short"))
	}
	code := exit.ExitCode()
	hint := s.said(r,
		"run the command by hand as this user; it has only PATH, HOME and the variables that are passed on")
	switch {
	case slices.Contains(s.options.NotFound, code):
		return fault.WithHint(fmt.Errorf("%w: the command ends with %d", secret.ErrNotFound, code), hint)
	case slices.Contains(s.options.Denied, code):
		return fault.WithHint(fmt.Errorf("%w: the command ends with %d", secret.ErrDenied, code), hint)
	}
	return unavailable(fmt.Sprintf("the command ends with %d", code), hint)
}

// said puts the first line of stderr before a hint.
func (s *Store) said(r result, hint string) string {
	line := s.firstLine(r)
	if line == "" {
		return hint
	}
	return fmt.Sprintf("it says %q; %s", line, hint)
}

// firstLine is the first line of stderr that is not empty, without control characters, without what the command printed
// as the value and what it was handed, and short.
func (s *Store) firstLine(r result) string {
	text := r.stderr
	if len(text) == maxStderr { // the end may be the beginning of a secret
		text = text[:bytes.LastIndexAny(text, " \n")+1]
	}
	for _, value := range slices.Concat(s.known, []secret.Value{secret.NewValue(r.stdout)}) {
		text = scrub(text, value)
	}
	line := ""
	for l := range strings.Lines(string(text)) {
		if line = printable(l); line != "" {
			break
		}
	}
	if short := []rune(line); len(short) > maxLine {
		line = string(short[:maxLine]) + "…"
	}
	return line
}

// scrub removes a value, and each of its lines, since a value of several lines is not printed in one.
func scrub(text []byte, value secret.Value) []byte {
	for _, part := range append([][]byte{bytes.TrimSpace(value.Reveal())},
		bytes.Split(value.Reveal(), []byte("\n"))...) {
		if part = bytes.TrimSpace(part); len(part) >= minSeen {
			text = bytes.ReplaceAll(text, part, []byte(secret.Value{}.String()))
		}
	}
	return text
}

func printable(line string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, line))
}

func errnoOf(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return "the system refuses it"
}
