package compose_test

import (
	"testing"

	"sallyport/internal/fleet/compose"
	"sallyport/internal/fleet/fleettest"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { fleettest.Kind(t, compose.Kind()) }
