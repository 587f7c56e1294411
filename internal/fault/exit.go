package fault

import (
	"context"
	"errors"
)

// Exit is the exit code of the process. Scripts rely on these numbers.
type Exit int

// The exit codes.
const (
	ExitOK          Exit = 0
	ExitError       Exit = 1
	ExitUsage       Exit = 2
	ExitFindings    Exit = 3
	ExitStore       Exit = 10
	ExitLocked      Exit = 11
	ExitKeyMismatch Exit = 12
	ExitInterrupted Exit = 130
)

type annotated struct {
	error
	hint string
	exit Exit
}

func (a *annotated) Unwrap() error { return a.error }

// WithHint adds to err what a person can do about it: a command or a setting.
func WithHint(err error, hint string) error { return &annotated{error: err, hint: hint} }

// WithExit sets the exit code that err ends the process with.
func WithExit(err error, exit Exit) error { return &annotated{error: err, exit: exit} }

// HintOf returns the outermost hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // walks the chain link by link on purpose
		case *annotated:
			if e.hint != "" {
				return e.hint
			}
		case *Fault:
			if e.Hint != "" {
				return e.Hint
			}
		}
		err = errors.Unwrap(err)
	}
	return ""
}

// ExitOf returns the exit code that err asks for: 0 for nil, 130 for a cancelled context, 1 when nothing says otherwise.
func ExitOf(err error) Exit {
	if err == nil {
		return ExitOK
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if a, ok := e.(*annotated); ok && a.exit != 0 { //nolint:errorlint // as above
			return a.exit
		}
	}
	var f *Fault
	if errors.As(err, &f) {
		return f.Row().Exit
	}
	if errors.Is(err, context.Canceled) {
		return ExitInterrupted
	}
	return ExitError
}
