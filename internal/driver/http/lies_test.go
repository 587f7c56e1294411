package httpdriver_test

import (
	"errors"
	"strings"
	"testing"

	"sallyport/internal/driver"
	httpdriver "sallyport/internal/driver/http"
)

// TestLies: an answer to create that is not whole is no success, whatever its status, and nobody may take it for a
// refusal either.
func TestLies(t *testing.T) {
	for _, name := range httpdriver.Providers() {
		w := newWorld(t, name)
		if !w.Open(t).Capabilities().Deletes {
			continue
		}
		for lie := range w.Faults {
			if !strings.HasPrefix(lie, "lies: ") || lie == "lies: twice in a list" {
				continue
			}
			w := newWorld(t, name)
			d, _ := httpdriver.Provider(name)
			if lie == "lies: another label" && (d.Label == nil || d.Create[0].Key.Label == "") {
				continue // the answer to create has none
			}
			calls := 0
			w.Hook(func() error {
				if calls++; calls == 1 || d.Label == nil && calls == 2 { // without labels the list is read before
					w.Faults[lie]()
				}
				return nil
			}, func() error { return nil })
			made, err := w.Open(t).Create(t.Context(), driver.Job{
				Rotation: "kit", Run: strings.Repeat("a", 20), Current: w.Current, OldKey: w.OldKey,
			})
			if !errors.Is(err, driver.ErrUnclear) || driver.Certain(err) || !made.Value.IsZero() {
				t.Errorf("%s %s: %v", name, lie, err)
			}
		}
	}
}
