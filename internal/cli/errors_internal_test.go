package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/fault"
)

func TestEachThingIsSaidOnce(t *testing.T) {
	for text, want := range map[string]string{
		`rotating token "a": rotating token "a": no such token`: `rotating token "a": no such token`,
		"reading: open x: reading: open x: gone":                "reading: open x: gone",
		"a: a: a: b":                                            "a: b",
		"a: b: a: b: a: b":                                      "a: b",
		"a: b\na: b":                                            "a: b\na: b", // each line is one error
		"a: b: a":                                               "a: b: a",
		"":                                                      "",
	} {
		if got := messageOf(errors.New(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestErrorsOfTheMachineHaveAHint(t *testing.T) {
	for _, err := range []error{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES,
		syscall.EPERM, syscall.EMFILE,
	} {
		var out bytes.Buffer
		e := &env{Streams: Streams{Err: &out}}
		e.complain(fmt.Errorf("writing: %w", &os.PathError{Op: "write", Path: "x", Err: err}))
		if !strings.Contains(out.String(), "\nsallyport: hint: ") {
			t.Errorf("%v: no hint in %q", err, out.String())
		}
	}
	if got := hintOf(fault.WithHint(syscall.ENOSPC, "its own")); got != "its own" {
		t.Errorf("got %q instead of the hint that came with it", got)
	}
}

func TestCounted(t *testing.T) {
	if got := counted(0, "token") + ", " + counted(1, "token") + ", " +
		counted(2, "token"); got != "0 tokens, 1 token, 2 tokens" {
		t.Error(got)
	}
}
