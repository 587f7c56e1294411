package fleettest

import (
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/fleet"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/archive"
	"sallyport/internal/testkit/shelf"
)

// Kind tests what a kind says of itself: each archive of testdata/config is a configuration and what it is answered,
// see archive.Configurations. A store of kind shelf is there for what is named by reference.
func Kind(t *testing.T, kind fleet.Kind) {
	t.Helper()
	archive.Configurations(t,
		config.Kinds{Stores: []secret.Kind{shelf.Kind()}, Fleets: []fleet.Kind{kind}}, "opens")
}
