package fault_test

import (
	"errors"
	"strings"
	"testing"

	"sallyport/internal/fault"
)

// TestPanicQuotesNothing: what a panic was about stays out of its text, save for the runtime's own words.
func TestPanicQuotesNothing(t *testing.T) {
	const secret = "hunter2-in-a-panic"
	for name, c := range map[string]struct {
		do   func(s string)
		want string
	}{
		"text": {func(s string) { panic(s) }, "panic while testing: a value of type string"},
		"error": {func(s string) {
			panic(errors.New(s))
		}, "panic while testing: a value of type *errors.errorString"},
		"index": {func(s string) {
			_ = s[len(s):][0]
		}, "panic while testing: runtime error: index out of range [0] with length 0"},
		"slice": {func(s string) {
			n := -len(s)
			_ = s[n:]
		}, "panic while testing: runtime error: slice bounds out of range [-18:]"},
		"nothing": {func(string) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := func() (err error) {
				defer fault.Recover("testing", &err)
				c.do(secret)
				return nil
			}()
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v without a panic", err)
				}
				return
			}
			p, ok := errors.AsType[*fault.Panic](err)
			if !ok || p.Error() != c.want {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if strings.Contains(p.Error()+p.Stack, secret) || !strings.Contains(p.Stack, "TestPanicQuotesNothing") {
				t.Errorf("the stack must name the place and quote nothing:\n%s", p.Stack)
			}
		})
	}
}
