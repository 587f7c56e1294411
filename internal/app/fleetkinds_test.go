package app_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/fleet"
	"sallyport/internal/fleet/fleettest"
)

// TestFleetKindsAreComplete: each kind of fleet has its section, its configurations, and its run of the conformance
// suite, and each folder its line.
func TestFleetKindsAreComplete(t *testing.T) {
	for _, lacking := range fleettest.Complete(app.Kinds().Fleets, os.DirFS("../fleet")) {
		t.Error(lacking)
	}
	for _, kind := range app.Kinds().Fleets {
		if !strings.Contains(string(config.Reference(app.Kinds())), "## `fleets.NAME` of kind "+kind.Name) {
			t.Errorf("kind %s is not in the reference", kind.Name)
		}
	}
}

// TestIncompleteFleetKind: what a kind lacks is told, thing by thing.
func TestIncompleteFleetKind(t *testing.T) {
	lacking := strings.Join(fleettest.Complete([]fleet.Kind{{Name: "heap"}, {Name: "heap"}, {Name: "a heap"}},
		fstest.MapFS{"pile/kind.go": {}}), "\n")
	for _, want := range []string{
		"heap has no summary", "heap has no section", "heap has no settings", "heap has no configuration that opens",
		"heap has no configuration that is refused", "heap has no configuration of a wrong shape",
		"heap is not held to the contract", "heap does not test its configurations", "two kinds are called heap",
		`a kind is called "a heap"`, "the kind pile is in no list",
	} {
		if !strings.Contains(lacking, want) {
			t.Errorf("it does not say %q:\n%s", want, lacking)
		}
	}
}
