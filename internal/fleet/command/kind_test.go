package command_test

import (
	"testing"

	"sallyport/internal/fleet/command"
	"sallyport/internal/fleet/fleettest"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { fleettest.Kind(t, command.Kind()) }
