package fault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"sallyport/internal/fault"
)

type hinting struct{ error }

func (hinting) Hint() string { return "its own" }

func TestHintAndExit(t *testing.T) {
	plain := errors.New("plain")
	hinted := fault.WithHint(plain, "do this")
	locked := fault.WithExit(hinted, fault.ExitLocked)
	for name, c := range map[string]struct {
		err  error
		hint string
		exit fault.Exit
	}{
		"nil":                 {nil, "", fault.ExitOK},
		"plain":               {plain, "", fault.ExitError},
		"hint":                {hinted, "do this", fault.ExitError},
		"exit over hint":      {locked, "do this", fault.ExitLocked},
		"wrapped":             {fmt.Errorf("outer: %w", locked), "do this", fault.ExitLocked},
		"joined with nothing": {errors.Join(locked, nil), "do this", fault.ExitLocked},
		"joined second":       {errors.Join(plain, locked), "do this", fault.ExitLocked},
		"joined in wrapped":   {fmt.Errorf("outer: %w", errors.Join(plain, fmt.Errorf("inner: %w", locked))), "do this", fault.ExitLocked},
		"two verbs":           {fmt.Errorf("%w: %w", plain, locked), "do this", fault.ExitLocked},
		"outermost first":     {fault.WithHint(locked, "nearer"), "nearer", fault.ExitLocked},
		"first of joined":     {errors.Join(fault.WithHint(plain, "first"), hinted), "first", fault.ExitError},
		"a type of its own":   {fmt.Errorf("outer: %w", hinting{plain}), "its own", fault.ExitError},
		"fault":               {fault.New(fault.StoreUnavailable, "x"), fault.Lookup(fault.StoreUnavailable).Hint, fault.ExitStore},
		"exit over fault":     {fault.WithExit(fault.New(fault.StoreUnavailable, "x"), fault.ExitUsage), fault.Lookup(fault.StoreUnavailable).Hint, fault.ExitUsage},
		"cancelled":           {fmt.Errorf("outer: %w", context.Canceled), "", fault.ExitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fault.HintOf(c.err); got != c.hint {
				t.Errorf("hint: got %q, want %q", got, c.hint)
			}
			if got := fault.ExitOf(c.err); got != c.exit {
				t.Errorf("exit: got %d, want %d", got, c.exit)
			}
		})
	}
}
