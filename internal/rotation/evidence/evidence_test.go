package evidence_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/database"
	"sallyport/internal/rotation/evidence"
	"sallyport/internal/testkit"
)

var postgres testkit.Postgres

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// onBoth runs test with an empty database of each dialect.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, filepath.Join(t.TempDir(), "state.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, postgres.URL(t)) })
}

// log is an audit log that takes what it is given, or nothing.
type log struct{ err error }

func (l *log) Authorise(context.Context, *audit.Event) error { return l.err }
func (*log) Complete(*audit.Event)                           {}
func (*log) Refuse(*audit.Event)                             {}

func open(t *testing.T, url string) (*evidence.Counter, *log) {
	t.Helper()
	db, err := database.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := new(log)
	return &evidence.Counter{Log: l, DB: db, Now: time.Now}, l
}

// use is one use of versions by a workflow, or by the token "n8n" if none is named.
func use(t *testing.T, c *evidence.Counter, workflow string, versions ...string) {
	t.Helper()
	err := c.Authorise(t.Context(), &audit.Event{Label: "n8n", Workflow: workflow, Secrets: versions})
	if err != nil {
		t.Fatal(err)
	}
}

// uses are the counts of a version by consumer.
func uses(t *testing.T, c *evidence.Counter, version string) map[string]int64 {
	t.Helper()
	list, err := c.Uses(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int64)
	for _, u := range list {
		counts[u.By] += u.Count
	}
	return counts
}

// TestCounts: over several processes that write at the same time, each use counts once, for each version that it had,
// and what is not on record counts for nothing.
func TestCounts(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		one, log := open(t, url)
		two, _ := open(t, url)
		var all sync.WaitGroup
		for _, c := range []*evidence.Counter{one, two} {
			all.Go(func() {
				for range 20 {
					use(t, c, "Orders", "crm/1", "mail/1")
					use(t, c, "", "crm/1")
					if err := c.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		log.err = errors.New("the disk is full")
		if err := one.Authorise(t.Context(), &audit.Event{Label: "n8n", Secrets: []string{"crm/1"}}); err == nil {
			t.Error("a use that is not on record was let pass")
		}
		if got := uses(t, two, "crm/1"); got["workflow Orders"] != 40 || got["token n8n"] != 40 || len(got) != 2 {
			t.Errorf("got %v", got)
		}
		if got := uses(t, one, "mail/1"); got["workflow Orders"] != 40 || len(got) != 1 {
			t.Errorf("got %v", got)
		}
	})
}

// TestNotWritten: what a database that is away did not take is written when it is back.
func TestNotWritten(t *testing.T) {
	c, _ := open(t, filepath.Join(t.TempDir(), "state.db"))
	use(t, c, "Orders", "crm/1")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Flush(gone); err == nil {
		t.Error("it was written")
	}
	use(t, c, "Orders", "crm/1")
	if got := uses(t, c, "crm/1"); got["workflow Orders"] != 2 {
		t.Errorf("got %v", got)
	}
}

// TestDoubt: after a process that was killed, every version counts as used once more, by nobody knows whom; also one
// that nobody was known to have used.
func TestDoubt(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c, _ := open(t, url)
		use(t, c, "Orders", "crm/1")
		for range 2 {
			if err := c.Doubt(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := uses(t, c, "crm/1"); got["workflow Orders"] != 1 || got[""] != 2 {
			t.Errorf("got %v", got)
		}
		if got := uses(t, c, "mail/1"); got[""] != 2 || len(got) != 1 {
			t.Errorf("got %v", got)
		}
	})
}

// TestHostileNames: callers choose the names of workflows. They stay printable and short, and however many there are,
// the table has room: those that are too many have one name.
func TestHostileNames(t *testing.T) {
	c, _ := open(t, filepath.Join(t.TempDir(), "state.db"))
	for _, name := range []string{
		"a\x00b\x1b[31m\n", strings.Repeat("ü", 4096), "\xff\xfe", "'); DROP TABLE secret_use; --",
		"others, too many to name",
	} {
		use(t, c, name, "crm/1")
	}
	for by := range uses(t, c, "crm/1") {
		if len(by) > 200 || strings.ContainsAny(by, "\x00\x1b\n") || strings.ToValidUTF8(by, "") != by {
			t.Errorf("a consumer is called %q", by)
		}
	}
	const many = 12000
	for i := range many {
		use(t, c, fmt.Sprint("invented ", i), "mail/1")
		if i%3000 == 0 {
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, sum := uses(t, c, "mail/1"), int64(0)
	for _, n := range got {
		sum += n
	}
	if len(got) > 5001 || sum != many || got["others, too many to name"] == 0 {
		t.Errorf("%d names for %d uses, of %d", len(got), sum, many)
	}
}
