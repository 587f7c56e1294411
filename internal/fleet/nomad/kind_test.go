package nomad_test

import (
	"testing"

	"sallyport/internal/fleet/fleettest"
	"sallyport/internal/fleet/nomad"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { fleettest.Kind(t, nomad.Kind()) }
