package audit_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"sallyport/internal/audit"
)

// TestOpenersTakeTurns opens one log from many sides, as commands do that run at the same time. Whoever gets the lock
// sees the log as it is then, not as it was while someone else still wrote.
func TestOpenersTakeTurns(t *testing.T) {
	o := childOptions(filepath.Join(t.TempDir(), "audit.log"))
	var sides sync.WaitGroup
	for range 8 {
		sides.Go(func() {
			for turns := 0; turns < 5; {
				l, err := audit.Open(t.Context(), o)
				if errors.Is(err, audit.ErrLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if err := errors.Join(l.Admin(t.Context(), &audit.Event{Actor: "test", Action: "turn"}),
					l.Close()); err != nil {
					t.Error(err)
				}
				turns++
			}
		})
	}
	sides.Wait()
	if r := mustHold(t, o); r.Opens != 40 || r.Recovered != 0 {
		t.Errorf("%d openings and %d recoveries, want 40 and none", r.Opens, r.Recovered)
	}
}
