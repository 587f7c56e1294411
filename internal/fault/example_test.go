package fault_test

import (
	"errors"
	"fmt"
	"io"

	"sallyport/internal/fault"
)

// A code decides the status, and whose fault it is; the cause stays for the log.
func ExampleNew() {
	err := fmt.Errorf("serving: %w",
		fault.New(fault.UpstreamTruncated, "its response ended early").Wrap(io.ErrUnexpectedEOF))
	f := fault.From(err)
	fmt.Println(f.Code, f.Status(), f.Row().Blame)
	fmt.Println(errors.Is(err, io.ErrUnexpectedEOF))
	// Output:
	// upstream_truncated 502 upstream
	// true
}

// What a person can repair carries a hint, and a command its exit code.
func ExampleWithHint() {
	err := fault.WithHint(errors.New(`reading secret "openai": no such secret`), "sallyport secret set openai")
	err = fmt.Errorf("starting: %w", fault.WithExit(err, fault.ExitLocked))
	fmt.Println(err)
	fmt.Println("hint:", fault.HintOf(err))
	fmt.Println("exit code:", fault.ExitOf(err))
	// Output:
	// starting: reading secret "openai": no such secret
	// hint: sallyport secret set openai
	// exit code: 11
}
