package token_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// TestRotateWhatHasRunOut: what has expired is replaced with its own scope and life; what a person revoked is not,
// unless it is planned; and an aborted rotation is no end.
func TestRotateWhatHasRunOut(t *testing.T) {
	c := newClock()
	r := newRegistry(t, openDB(t, filepath.Join(t.TempDir(), "state.db")), c)
	value, _ := issue(t, r, "n8n", all, c.Now().Add(time.Hour))
	if _, aborted, err := r.Begin(t.Context(), "n8n"); err != nil || r.Abort(t.Context(), aborted.ID) != nil {
		t.Fatal(err)
	}
	c.advance(2 * time.Hour)
	if _, f := r.Verify(value); f == nil || f.Code != fault.TokenExpired {
		t.Fatalf("it should have expired: %v", f)
	}
	if last := token.Last(list(t, r), "n8n"); last == nil || last.Number != 1 || last.State(c.Now()) != token.Expired {
		t.Fatalf("the last generation is %+v", last)
	}
	fresh, g, err := r.Begin(t.Context(), "n8n")
	if err != nil || !g.Expires.Equal(c.Now().Add(time.Hour)) || len(g.Scope.Services) != 1 {
		t.Fatalf("got %+v, %v", g, err)
	}
	if err := r.Finish(t.Context(), g.ID, time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, f := r.Verify(string(fresh.Reveal())); f != nil {
		t.Errorf("the next generation: %v", f)
	}
	c.advance(2 * time.Hour)
	if n, err := r.Revoke(t.Context(), "n8n"); n != 0 || err != nil {
		t.Errorf("revoking what has run out: %d, %v", n, err)
	}
	if last := token.Last(list(t, r), "n8n"); last.State(c.Now()) != token.Revoked {
		t.Errorf("a person has revoked it, and it counts as %s", last.State(c.Now()))
	}
	if _, _, err := r.Begin(t.Context(), "n8n"); !errors.Is(err, token.ErrUnknown) {
		t.Errorf("what was revoked is rotated: %v", err)
	}
	for _, name := range []string{"n8n", "never-issued"} {
		_, g, err := r.BeginPlanned(t.Context(), name, token.Plan{Scope: all, Life: 3 * time.Hour})
		if err != nil || !g.Expires.Equal(c.Now().Add(3*time.Hour)) || !g.Pending {
			t.Errorf("%s as planned: %+v, %v", name, g, err)
		}
	}
}
