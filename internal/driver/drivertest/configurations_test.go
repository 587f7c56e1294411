package drivertest_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
)

// TestComplete: whatever a kind lacks is said in a sentence that says what to add.
func TestComplete(t *testing.T) {
	whole := driver.Kind{Name: "whole", Summary: "All of it.", Page: "# Whole\n", Settings: func() driver.Settings {
		return nil
	}}
	tree := fstest.MapFS{
		"whole/testdata/config/opens.txtar":         {},
		"whole/testdata/config/refused-label.txtar": {},
		"whole/whole_test.go":                       {Data: []byte("drivertest.Kind(t, …)")},
	}
	if got := drivertest.Complete([]driver.Kind{whole}, tree); len(got) > 0 {
		t.Errorf("of a kind that is whole: %q", got)
	}
	if got := drivertest.Complete([]driver.Kind{whole, whole}, tree); len(got) != 1 {
		t.Errorf("of two with one name: %q", got)
	}
	got := strings.Join(drivertest.Complete([]driver.Kind{{Name: "none"}}, tree), "\n")
	for _, want := range []string{
		"no summary", "no page", "no settings", "no configuration that opens", "no configuration that is refused",
		"does not test its configurations",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("nothing says %q:\n%s", want, got)
		}
	}
}
