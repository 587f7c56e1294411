// Package testkit holds what the tests of several packages share: requirements on the machine, and fakes that pass the
// same conformance suites as the real thing. It is for _test.go files only; internal/architecture holds that.
package testkit

import (
	"os"
	"testing"
)

// RequireTool leaves the test out where a program that it needs was not found, and fails it in CI (CI=true), where
// nothing is left out. The hint says how to get the program: a command, such as "`make servers` gets it (about 5
// minutes)". tools/testcount knows the skip by its first words, counts by the rest, and says so in the last lines of
// `make test`.
func RequireTool(t testing.TB, name string, found bool, hint string) {
	t.Helper()
	switch {
	case found:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is required in CI and was not found: %s", name, hint)
	default:
		t.Skipf("left out: %s is not here: %s", name, hint)
	}
}
