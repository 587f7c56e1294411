package fleettest

import (
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/fleet"
	"sallyport/internal/testkit/archive"
)

// Kind tests what a kind says of itself: each archive of testdata/config is a configuration and what it is answered,
// see archive.Configurations.
func Kind(t *testing.T, kind fleet.Kind) {
	t.Helper()
	archive.Configurations(t, config.Kinds{Fleets: []fleet.Kind{kind}}, "opens")
}
