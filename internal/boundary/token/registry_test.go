package token_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/boundary/token"
	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/testkit"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var postgres testkit.Postgres

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// onBoth runs test on a URL of either dialect, each naming a new, empty database.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "state.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, postgres.URL(t)) })
}

func openDB(t testing.TB, url string) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// clock stands still until a test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newRegistry(t testing.TB, db *database.DB, c *clock) *token.Registry {
	t.Helper()
	r := token.NewRegistry(db, bytes.Repeat([]byte{1}, 32), c.Now)
	load(t, r)
	return r
}

func load(t testing.TB, r *token.Registry) {
	t.Helper()
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func issue(t testing.TB, r *token.Registry, name string, scope token.Scope, expires time.Time) (string,
	token.Generation,
) {
	t.Helper()
	value, g, err := r.Issue(t.Context(), name, scope, expires)
	if err != nil {
		t.Fatal(err)
	}
	return string(value.Reveal()), g
}

// code is the fault that Verify answers, "" for none.
func code(r *token.Registry, value string) fault.Code {
	grant, f := r.Verify(value)
	if (grant == nil) == (f == nil) {
		return "both or neither"
	}
	if f != nil {
		return f.Code
	}
	return ""
}

func wantCodes(t *testing.T, r *token.Registry, when string, want map[string]fault.Code) {
	t.Helper()
	for value, w := range want {
		if got := code(r, value); got != w {
			t.Errorf("%s: generation %s: got %q, want %q", when, value[4:14], got, w)
		}
	}
}

var all = token.Scope{Services: []string{"*"}}

func TestVerify(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		r := newRegistry(t, openDB(t, url), c)
		value, g := issue(t, r, "n8n", all, c.Now().Add(time.Hour))
		forged := withSum(value[:len(value)-7] + "0") // right id, another value
		if forged == value {
			forged = withSum(value[:len(value)-7] + "1")
		}
		wantCodes(t, r, "at first", map[string]fault.Code{
			value: "", withSum(sample): fault.TokenInvalid,
			forged: fault.TokenInvalid, value + "\n": fault.TokenInvalid,
		})
		grant, _ := r.Verify(value)
		if grant.ID != g.ID || grant.Name != "n8n" || grant.Number != 1 || !grant.Expires.Equal(g.Expires) {
			t.Errorf("the grant is %+v, want that of %+v", grant, g)
		}
		c.advance(time.Hour - time.Microsecond)
		wantCodes(t, r, "just before it expires", map[string]fault.Code{value: ""})
		c.advance(time.Microsecond)
		wantCodes(t, r, "when it expires", map[string]fault.Code{value: fault.TokenExpired, forged: fault.TokenInvalid})
	})
}

func TestAnotherMACKeyAcceptsNothing(t *testing.T) {
	c := newClock()
	db := openDB(t, filepath.Join(t.TempDir(), "state.db"))
	value, _ := issue(t, newRegistry(t, db, c), "n8n", all, time.Time{})
	other := token.NewRegistry(db, bytes.Repeat([]byte{2}, 32), c.Now)
	load(t, other)
	wantCodes(t, other, "with another key", map[string]fault.Code{value: fault.TokenInvalid})
}

func TestRotateOverlapRevoke(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		db := openDB(t, url)
		r, replica := newRegistry(t, db, c), newRegistry(t, openDB(t, url), c)
		one, g1 := issue(t, r, "n8n", all, time.Time{})
		secondValue, g2, err := r.Rotate(t.Context(), "n8n", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		two := string(secondValue.Reveal())
		if g2.Number != 2 || g2.State(c.Now()) != token.Current || !cmp.Equal(g2.Scope, g1.Scope) {
			t.Errorf("the next generation is %+v", g2)
		}
		wantCodes(t, r, "in the overlap", map[string]fault.Code{one: "", two: ""})
		wantCodes(t, replica, "before it loads", map[string]fault.Code{one: fault.TokenInvalid})
		load(t, replica)
		wantCodes(t, replica, "in the overlap, elsewhere", map[string]fault.Code{one: "", two: ""})
		c.advance(time.Hour)
		wantCodes(t, r, "after the overlap", map[string]fault.Code{one: fault.TokenExpired, two: ""})

		other, _ := issue(t, r, "other", all, time.Time{})
		if n, err := r.Revoke(t.Context(), "n8n"); err != nil || n != 1 {
			t.Errorf("revoked %d (%v), want the one that was still valid", n, err)
		}
		wantCodes(t, r, "after revoking", map[string]fault.Code{two: fault.TokenRevoked, other: ""})
		if n, err := r.Revoke(t.Context(), "n8n"); err != nil || n != 0 {
			t.Errorf("revoking again: %d, %v", n, err)
		}
		if _, err := r.Revoke(t.Context(), "nobody"); !errors.Is(err, token.ErrUnknown) || fault.HintOf(err) == "" {
			t.Errorf("revoking an unknown name: %v", err)
		}
		three, g3 := issue(t, r, "n8n", all, time.Time{})
		if g3.Number != 3 {
			t.Errorf("issued again as generation %d, want 3", g3.Number)
		}
		if n, err := r.Revoke(t.Context(), g3.ID); err != nil || n != 1 {
			t.Errorf("revoking by id: %d, %v", n, err)
		}
		wantCodes(t, r, "after revoking by id", map[string]fault.Code{three: fault.TokenRevoked, other: ""})
	})
}

func TestPendingGeneration(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		r := newRegistry(t, openDB(t, url), c)
		one, _ := issue(t, r, "n8n", all, c.Now().Add(10*time.Hour))
		c.advance(4 * time.Hour)
		value, g2, err := r.Begin(t.Context(), "n8n")
		if err != nil {
			t.Fatal(err)
		}
		two := string(value.Reveal())
		if got, want := g2.Expires, c.Now().Add(10*time.Hour); !got.Equal(want) || g2.State(c.Now()) != token.Pending {
			t.Errorf("the next generation is %s and expires %v, want pending and the same life time: %v",
				g2.State(c.Now()), got, want)
		}
		wantCodes(t, r, "while pending", map[string]fault.Code{one: "", two: ""})
		if _, _, err := r.Begin(t.Context(), "n8n"); !errors.Is(err, token.ErrPending) ||
			fault.ExitOf(err) != fault.ExitLocked {
			t.Errorf("beginning twice: %v, exit %d", err, fault.ExitOf(err))
		}
		if _, _, err := r.Rotate(t.Context(), "n8n", 0); !errors.Is(err, token.ErrPending) {
			t.Errorf("rotating meanwhile: %v", err)
		}
		for range 2 { // doing it again changes nothing
			if err := r.Abort(t.Context(), g2.ID); err != nil {
				t.Fatal(err)
			}
		}
		wantCodes(t, r, "after the abort", map[string]fault.Code{one: "", two: fault.TokenRevoked})
		if err := r.Finish(t.Context(), g2.ID, time.Hour); !errors.Is(err, token.ErrEnded) {
			t.Errorf("finishing what was aborted: %v", err)
		}

		value, g3, err := r.Begin(t.Context(), "n8n")
		if err != nil {
			t.Fatal(err)
		}
		three := string(value.Reveal())
		for range 2 { // the second time, later, must not move the end
			if err := r.Finish(t.Context(), g3.ID, 100*time.Hour); err != nil {
				t.Fatal(err)
			}
			c.advance(time.Hour)
		}
		if err := r.Abort(t.Context(), g3.ID); !errors.Is(err, token.ErrActive) {
			t.Errorf("aborting what is finished: %v", err)
		}
		c.advance(4*time.Hour - time.Microsecond) // one microsecond short of the first one's own end
		wantCodes(t, r, "at the end of the overlap", map[string]fault.Code{one: "", three: ""})
		for _, g := range list(t, r) {
			if !g.RetireAt.IsZero() && g.RetireAt.After(g.Expires) {
				t.Errorf("generation %d retires at %v, after it has expired at %v", g.Number, g.RetireAt, g.Expires)
			}
		}
		c.advance(time.Microsecond)
		wantCodes(t, r, "after its own expiry", map[string]fault.Code{one: fault.TokenExpired, three: ""})
		if err := r.Finish(t.Context(), "0000000000", 0); !errors.Is(err, token.ErrUnknown) {
			t.Errorf("finishing nothing: %v", err)
		}
	})
}

func TestIssueRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		r := newRegistry(t, openDB(t, url), c)
		issue(t, r, "n8n", all, time.Time{})
		_, _, err := r.Issue(t.Context(), "n8n", all, time.Time{})
		if !errors.Is(err, token.ErrActive) || !strings.Contains(fault.HintOf(err), "token rotate n8n") {
			t.Errorf("issuing twice: %v, hint %q", err, fault.HintOf(err))
		}
		for name, c := range map[string]struct {
			name    string
			scope   token.Scope
			expires time.Time
		}{
			"no name":         {"", all, time.Time{}},
			"a bad name":      {"a b", all, time.Time{}},
			"a long name":     {strings.Repeat("n", 101), all, time.Time{}},
			"an empty method": {"x", token.Scope{Methods: []string{""}}, time.Time{}},
			"a bad network":   {"x", token.Scope{From: []netip.Prefix{{}}}, time.Time{}},
			"expired already": {"x", all, c.Now()},
		} {
			if _, _, err := r.Issue(t.Context(), c.name, c.scope, c.expires); err == nil {
				t.Errorf("%s: issued", name)
			}
		}
		if _, _, err := r.Rotate(t.Context(), "x", 0); !errors.Is(err, token.ErrUnknown) {
			t.Errorf("rotating what does not exist: %v", err)
		}
	})
}

func TestIssueByTwoProcessesAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		const processes = 4
		errs := make(chan error, processes)
		for range processes {
			r := newRegistry(t, openDB(t, url), c)
			go func() { _, _, err := r.Issue(t.Context(), "n8n", all, time.Time{}); errs <- err }()
		}
		issued := 0
		for range processes {
			switch err := <-errs; {
			case err == nil:
				issued++
			case !errors.Is(err, token.ErrActive):
				t.Error(err)
			}
		}
		if issued != 1 {
			t.Errorf("%d generations were issued, want 1", issued)
		}
	})
}

func TestListAndUse(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		r := newRegistry(t, openDB(t, url), c)
		scope := token.Scope{
			Services: []string{"openai"}, Methods: []string{"GET"},
			From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		}
		value, g1 := issue(t, r, "b", scope, c.Now().Add(time.Hour))
		if _, _, err := r.Rotate(t.Context(), "b", time.Minute); err != nil {
			t.Fatal(err)
		}
		issue(t, r, "a", all, time.Time{})
		grant, f := r.Verify(value)
		if f != nil {
			t.Fatal(f)
		}
		used := c.Now().Add(2 * time.Second)
		r.Touch(grant, "orders\x00\xff\n", used)
		r.Touch(grant, "earlier", used.Add(-time.Second))
		want := g1
		want.RetireAt, want.LastUsed, want.LastWorkflow = c.Now().Add(time.Minute), used, "orders"
		want.Uses = []token.Use{{Workflow: "orders", At: used}, {Workflow: "earlier", At: used.Add(-time.Second)}}
		for _, step := range []string{"before it is flushed", "when it is flushed", "after a restart"} {
			got := list(t, r)
			if names := got[0].Name + got[1].Name + got[2].Name; names != "abb" || got[1].Number != 2 {
				t.Fatalf("the order is %+v", got)
			}
			if diff := cmp.Diff(want, got[2], cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("%s (-want +got):\n%s", step, diff)
			}
			if err := r.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if step == "when it is flushed" {
				r = newRegistry(t, openDB(t, url), c)
			}
		}
	})
}

// TestUsesAreBounded: a caller that names another workflow with each request takes no more memory and rows than stated,
// and what two replicas saw comes together.
func TestUsesAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		r, other := newRegistry(t, openDB(t, url), c), newRegistry(t, openDB(t, url), c)
		value, _ := issue(t, r, "n8n", all, time.Time{})
		if err := other.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		for n, replica := range []*token.Registry{r, other} {
			grant, f := replica.Verify(value)
			if f != nil {
				t.Fatal(f)
			}
			replica.Touch(grant, "both", c.Now().Add(time.Duration(n)*time.Hour))
			for i := range 2000 {
				replica.Touch(grant, fmt.Sprint("workflow ", i), c.Now())
			}
		}
		for _, replica := range []*token.Registry{r, other, r} {
			if err := replica.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got := list(t, r)[0].Uses
		if want := (token.Use{Workflow: "both", At: c.Now().Add(time.Hour)}); len(got) != 1000 || got[0] != want {
			t.Errorf("%d workflows, the latest %+v; want 1000 and %+v", len(got), got[0], want)
		}
		c.advance(91 * 24 * time.Hour)
		grant, _ := r.Verify(value)
		r.Touch(grant, "later", c.Now())
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := other.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := list(t, newRegistry(t, openDB(t, url), c))[0].Uses; len(got) != 1 || got[0].Workflow != "later" {
			t.Errorf("after 91 days: %+v, want the one since", got)
		}
	})
}

func list(t *testing.T, r *token.Registry) []token.Generation {
	t.Helper()
	got, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestUseOutlivesAReload(t *testing.T) {
	c := newClock()
	db := openDB(t, filepath.Join(t.TempDir(), "state.db"))
	r := newRegistry(t, db, c)
	value, _ := issue(t, r, "n8n", all, time.Time{})
	before, _ := r.Verify(value)
	load(t, r)
	r.Touch(before, "orders", c.Now()) // by a request that began before the reload
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := list(t, newRegistry(t, db, c)); got[0].LastWorkflow != "orders" || !got[0].LastUsed.Equal(c.Now()) {
		t.Errorf("the last use is %+v", got[0])
	}
}

func TestChangesAreAnnounced(t *testing.T) {
	c := newClock()
	db := openDB(t, filepath.Join(t.TempDir(), "state.db"))
	r := newRegistry(t, db, c)
	seq := func() (n int) {
		if err := db.QueryRow("SELECT coalesce(max(seq), 0) FROM change WHERE topic = $1",
			token.Topic).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	value, g := issue(t, r, "n8n", all, time.Time{})
	_, next, err := r.Begin(t.Context(), "n8n")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Finish(t.Context(), next.ID, time.Hour), r.Abort(t.Context(), g.ID)); err == nil {
		t.Error("a generation that is not pending was aborted")
	}
	if _, err := r.Revoke(t.Context(), g.ID); err != nil {
		t.Fatal(err)
	}
	if got := seq(); got != 4 {
		t.Errorf("announced %d times, want once for each of issue, begin, finish, revoke", got)
	}
	if grant, _ := r.Verify(value); grant != nil {
		r.Touch(grant, "x", c.Now())
	}
	if err := r.Flush(t.Context()); err != nil || seq() != 4 {
		t.Errorf("a flush was announced (%v)", err)
	}
}

func TestOnlyTheHashIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db := openDB(t, path)
	value, g := issue(t, newRegistry(t, db, newClock()), "n8n", all, time.Time{})
	for _, suffix := range []string{"", "-wal"} {
		held, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(held, []byte(value[15:58])) {
			t.Errorf("the value is in the database%s", suffix)
		}
		if suffix == "-wal" && !bytes.Contains(held, []byte(g.ID)) {
			t.Error("what is searched does not even have the generation's id")
		}
	}
}
