package run_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"

	"sallyport/internal/rotation/run"
)

// TestPermit: a run that may not begin leaves nothing behind, and one that has begun is not asked about again.
func TestPermit(t *testing.T) {
	onBoth(t, func(t *testing.T, p *place) {
		w := newWorld(t, p, "crm", minting)
		refused := errors.New("nobody has approved")
		asked, kept := 0, 0
		answer := func(by []string, err error) run.Permit {
			return func(_ context.Context, _ *sql.Tx, fresh run.Entry) ([]string, func(), error) {
				if asked++; fresh.OldVersion != "1" || fresh.Name != "crm" {
					t.Errorf("asked about %+v", fresh)
				}
				return by, func() { kept++ }, err
			}
		}
		e, err := w.engine("one").Rotate(t.Context(), w.plan(), run.Request{Permit: answer(nil, refused)})
		if !errors.Is(err, refused) || e.ID != "" || w.last().ID != "" || w.made != 0 || kept != 0 ||
			len(w.notices) != 0 {
			t.Fatalf("got %+v (%v), %d keys made, kept %d times, told %v", e, err, w.made, kept, w.notices)
		}
		for range 2 {
			if _, err = w.engine("one").Rotate(t.Context(), w.plan(), run.Request{
				Permit: answer([]string{"ann", "bob"}, nil),
			}); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.last(); asked != 2 || kept != 1 || !slices.Equal(got.Approved, []string{"ann", "bob"}) {
			t.Errorf("asked %d times, kept %d times, approved by %v", asked, kept, got.Approved)
		}
		if done := w.end(100); run.KeyOf([]run.Entry{done}, "crm", "2") != "k1" ||
			run.KeyOf([]run.Entry{done}, "crm", "1") != "" {
			t.Errorf("the key of version 2 is not known from %+v", done)
		}
		var kinds []run.NoticeKind
		for _, n := range w.notices {
			kinds = append(kinds, n.Kind)
		}
		if want := []run.NoticeKind{run.NoticeBegan, run.NoticeDone}; !slices.Equal(kinds, want) {
			t.Errorf("told %q, want %q", kinds, want)
		}
	})
}
