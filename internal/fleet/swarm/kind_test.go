package swarm_test

import (
	"testing"

	"sallyport/internal/fleet/fleettest"
	"sallyport/internal/fleet/swarm"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { fleettest.Kind(t, swarm.Kind()) }
