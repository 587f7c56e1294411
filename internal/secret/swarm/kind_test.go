package swarm_test

import (
	"testing"

	"sallyport/internal/secret/storetest"
	"sallyport/internal/secret/swarm"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { storetest.Kind(t, swarm.Kind()) }
