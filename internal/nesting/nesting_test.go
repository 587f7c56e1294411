package nesting_test

import (
	"errors"
	"strings"
	"testing"

	"sallyport/internal/nesting"
)

func TestCheck(t *testing.T) {
	for text, want := range map[string]error{
		"": nil, "a: [1, {b: 2}]": nil, strings.Repeat("[]", 5000): nil, strings.Repeat("- a\n", 50000): nil,
		strings.Repeat("[", 200_000): nesting.ErrTooDeep, strings.Repeat("{a: ", 1001): nesting.ErrTooDeep,
		strings.Repeat(`{"a":[`, 600): nesting.ErrTooDeep,
		strings.Repeat("- ", 100_000): nesting.ErrTooDeep, strings.Repeat("? ", 100_000): nesting.ErrTooDeep,
		strings.Repeat("!a ", 100_000):                        nesting.ErrTooDeep,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000): nil,
	} {
		if err := nesting.Check([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%d bytes of %.12q: got %v, want %v", len(text), text, err, want)
		}
	}
}
