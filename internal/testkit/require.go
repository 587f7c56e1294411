// Package testkit holds what the tests of several packages share: requirements on the machine, and fakes that pass the same
// conformance suites as the real thing. It is for _test.go files only; internal/architecture holds that.
package testkit

import (
	"os"
	"testing"
)

// RequireTool skips the test where a program that it needs was not found, and fails it in CI (CI=true), where nothing may
// be skipped in silence. The hint says how to get the program: a command, such as "make test installs it (as root)".
func RequireTool(t testing.TB, name string, found bool, hint string) {
	t.Helper()
	switch {
	case found:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is required in CI and was not found: %s", name, hint)
	default:
		t.Skipf("%s was not found: %s", name, hint)
	}
}
