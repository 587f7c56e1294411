package driver_test

import (
	"errors"
	"fmt"
	"testing"

	"sallyport/internal/driver"
)

// TestCertain: only a refusal says that nothing has happened.
func TestCertain(t *testing.T) {
	for err, want := range map[error]bool{
		driver.ErrRefused: true, driver.ErrLimit: true, driver.ErrUnclear: false, errors.New("EOF"): false,
	} {
		if got := driver.Certain(fmt.Errorf("making a key: %w", err)); got != want {
			t.Errorf("Certain(%v) = %t", err, got)
		}
	}
}

// TestLabel: a key's label names the rotation and the run.
func TestLabel(t *testing.T) {
	job := driver.Job{Rotation: "openai", Run: "0123456789abcdefghij"}
	if got := job.Label(); got != "sallyport-openai-0123456789abcdefghij" {
		t.Errorf("got %q", got)
	}
}
