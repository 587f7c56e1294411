package testkit_test

import (
	"fmt"
	"testing"

	"sallyport/internal/testkit"
)

// verdict records how a test would have ended.
type verdict struct {
	testing.TB
	got string
}

func (v *verdict) Helper()                          {}
func (v *verdict) Skipf(format string, args ...any) { v.got = "skip: " + fmt.Sprintf(format, args...) }

func (v *verdict) Fatalf(format string, args ...any) {
	v.got = "fatal: " + fmt.Sprintf(format, args...)
}

func TestRequireTool(t *testing.T) {
	for _, c := range []struct {
		ci    string
		found bool
		want  string
	}{
		{ci: "", found: true, want: ""},
		{ci: "true", found: true, want: ""},
		{ci: "", found: false, want: "skip: left out: initdb is not here: make test installs it"},
		{ci: "true", found: false, want: "fatal: initdb is required in CI and was not found: make test installs it"},
	} {
		t.Run(fmt.Sprintf("CI=%s found=%t", c.ci, c.found), func(t *testing.T) {
			t.Setenv("CI", c.ci)
			v := &verdict{TB: t}
			testkit.RequireTool(v, "initdb", c.found, "make test installs it")
			if v.got != c.want {
				t.Errorf("got %q, want %q", v.got, c.want)
			}
		})
	}
}
