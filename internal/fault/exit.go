package fault

import (
	"context"
	"errors"
	"slices"
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
	ExitUnconfirmed Exit = 13 // done, but not confirmed by every replica
	ExitApproval    Exit = 14 // waits until people have approved
	ExitRolledBack  Exit = 15 // taken back: as it was before
	ExitStuck       Exit = 16 // goes on only when a person has acted
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

// HintOf returns the outermost hint in err's tree, the first of joined errors first, or "".
func HintOf(err error) (hint string) {
	walk(err, func(err error) bool {
		switch e := err.(type) { //nolint:errorlint // walk unwraps
		case *annotated:
			hint = e.hint
		case *Fault:
			hint = e.Hint
		case interface{ Hint() string }:
			hint = e.Hint()
		}
		return hint != ""
	})
	return hint
}

// ExitOf returns the exit code that err asks for: 0 for nil, 130 for a cancelled context, 1 when nothing says
// otherwise.
func ExitOf(err error) Exit {
	if err == nil {
		return ExitOK
	}
	var exit Exit
	walk(err, func(err error) bool {
		if a, ok := err.(*annotated); ok { //nolint:errorlint // walk unwraps
			exit = a.exit
		}
		return exit != ExitOK
	})
	var f *Fault
	switch {
	case exit != ExitOK:
		return exit
	case errors.As(err, &f):
		return f.Row().Exit
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	}
	return ExitError
}

// walk visits err and what it wraps, depth first, until visit returns true; errors.Unwrap alone stops at joined errors.
func walk(err error, visit func(error) bool) (done bool) {
	if err == nil {
		return false
	}
	if visit(err) {
		return true
	}
	switch e := err.(type) { //nolint:errorlint // the unwrapping itself
	case interface{ Unwrap() error }:
		return walk(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(one error) bool { return walk(one, visit) })
	}
	return false
}
