package token_test

import (
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/fault"
)

// TestStaleAcceptsNothing: a registry that cannot have heard of revocations for max_stale accepts no token, whatever it
// knows, and says that this is Sallyport's own failure. What it knows to have ended stays ended.
func TestStaleAcceptsNothing(t *testing.T) {
	c := newClock()
	r := newRegistry(t, openDB(t, filepath.Join(t.TempDir(), "state.db")), c)
	good, _ := issue(t, r, "good", all, time.Time{})
	revoked, g := issue(t, r, "revoked", all, time.Time{})
	if _, err := r.Revoke(t.Context(), g.ID); err != nil {
		t.Fatal(err)
	}
	elsewhere, _ := issue(t, newRegistry(t, openDB(t, filepath.Join(t.TempDir(), "other.db")), c),
		"elsewhere", all, time.Time{})
	check := func(when string, want map[string]fault.Code) {
		t.Helper()
		for value, code := range want {
			grant, f := r.Verify(value)
			switch {
			case code == "" && (grant == nil || f != nil), code != "" && (grant != nil || f == nil || f.Code != code):
				t.Errorf("%s: got %v, %v, want %q", when, grant, f, code)
			case code == fault.StoreUnavailable && (f.Row().Blame != fault.BlameSallyport || f.RetryAfter <= 0):
				t.Errorf("%s: it is blamed on %q, and to be tried again after %s", when, f.Row().Blame, f.RetryAfter)
			}
		}
	}
	fresh := map[string]fault.Code{
		good: "", revoked: fault.TokenRevoked, elsewhere: fault.TokenInvalid,
		"no token": fault.TokenInvalid,
	}
	stale := map[string]fault.Code{
		good: fault.StoreUnavailable, revoked: fault.TokenRevoked,
		elsewhere: fault.StoreUnavailable, "no token": fault.TokenInvalid,
	}
	check("without a bound", fresh)
	r.Bound(time.Minute)
	check("before the first look", stale)
	r.FreshSince(c.Now())
	check("fresh", fresh)
	c.advance(time.Minute - time.Nanosecond)
	check("just fresh", fresh)
	r.FreshSince(c.Now().Add(-time.Hour)) // an older look, which ended late
	check("still fresh", fresh)
	c.advance(time.Nanosecond)
	check("stale", stale)
	r.FreshSince(c.Now())
	check("fresh again", fresh)
}
