package fleet

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/fault"
	"sallyport/internal/program"
)

// Unreachable is ErrUnreachable with what was seen, and a hint.
func Unreachable(what, hint string) error {
	return fault.WithHint(fmt.Errorf("%w: %s", ErrUnreachable, what), hint)
}

// Gone is ErrGone with a hint.
func Gone(hint string) error { return fault.WithHint(ErrGone, hint) }

// Ask runs a program that answers for an orchestrator, and returns how it ended by itself. One that cannot be run to
// its end is ErrUnreachable, or ctx's own error.
func Ask(ctx context.Context, argv []string) (program.Ended, error) {
	e := program.Run(ctx, argv)
	switch {
	case e.Err == nil:
		return e, nil
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return e, context.Canceled
	case errors.Is(e.Err, context.DeadlineExceeded):
		return e, Unreachable(argv[0]+" did not answer in time", "see whether the machine it asks is there")
	}
	return e, Unreachable(e.Err.Error(), "install it, or run this where it is")
}
