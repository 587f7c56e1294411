package approval_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/plan"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret/seal"
	"sallyport/internal/testkit"
)

var postgres testkit.Postgres

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

var (
	ann  = approval.Person{UID: 1001, Name: "ann", Login: true}
	bob  = approval.Person{UID: 1002, Name: "bob", Login: true}
	cid  = approval.Person{UID: 1003, Name: "cid"}
	root = approval.Person{UID: 0, Name: "root"}
)

// bed is a database with approvals, and a clock.
type bed struct {
	*approval.Approvals

	t    *testing.T
	db   *database.DB
	book *ledger.Book
	mu   sync.Mutex
	now  time.Time
}

func onBoth(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newBed(t, filepath.Join(t.TempDir(), "state.db"))) })
	t.Run("postgres", func(t *testing.T) { test(t, newBed(t, postgres.URL(t))) })
}

func newBed(t *testing.T, url string) *bed {
	t.Helper()
	b := &bed{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	if b.db, err = database.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.db.Close() })
	key := filepath.Join(t.TempDir(), "seal.key")
	if err := errors.Join(b.db.Migrate(t.Context()), seal.GenerateKeyFile(key)); err != nil {
		t.Fatal(err)
	}
	keeper, err := seal.KeyFromFile(key)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.Open(t.Context(), b.db, keeper)
	if err != nil {
		t.Fatal(err)
	}
	b.book = approval.NewLedger(sealer)
	b.Approvals = approval.New(b.db, b.book, func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	})
	return b
}

func (b *bed) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// of is the plan of a rotation whose current version is that one.
func of(name, version string, people int) *plan.Plan {
	return plan.New(plan.Does{Rotation: name, Approve: people, Secret: plan.Secret{Version: version}}, plan.Now{})
}

func (b *bed) give(p *plan.Plan, people ...approval.Person) {
	b.t.Helper()
	for _, by := range people {
		if _, err := b.Give(b.t.Context(), p, p.Hash, by); err != nil {
			b.t.Fatal(err)
		}
	}
}

var errCrash = errors.New("the process ended")

// begin asks as the journal of runs does, in its transaction, which fails with after.
func (b *bed) begin(p *plan.Plan, starter *approval.Person, after error) (names []string, err error) {
	var kept func()
	err = b.db.WriteQuietly(b.t.Context(), run.Topic, func(tx *sql.Tx) (err error) {
		names, kept, err = b.Permit(approval.Request{Plan: p, Starter: starter})(b.t.Context(), tx,
			run.Entry{Name: p.Does.Rotation, OldVersion: p.Does.Secret.Version, Files: p.Does.Driver.Files})
		return errors.Join(err, after)
	})
	if err == nil {
		kept()
	}
	return names, err
}

func (b *bed) refused(what string, p *plan.Plan, starter *approval.Person) error {
	b.t.Helper()
	names, err := b.begin(p, starter, nil)
	if !errors.Is(err, approval.ErrNeeded) || fault.ExitOf(err) != fault.ExitApproval ||
		!strings.Contains(fault.HintOf(err), "--hash "+p.Hash) {
		b.t.Errorf("%s: got %v (%v), hint %q", what, names, err, fault.HintOf(err))
	}
	return err
}

func (b *bed) begins(what string, p *plan.Plan, starter *approval.Person, want string) {
	b.t.Helper()
	names, err := b.begin(p, starter, nil)
	if err != nil || strings.Join(names, " ") != want {
		b.t.Errorf("%s: got %q (%v), want %q", what, names, err, want)
	}
}

// TestEnough: a run needs so many people beside the one who starts it, and uses their approvals up.
func TestEnough(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		p := of("crm", "7", 2)
		b.refused("nobody", p, &ann)
		b.give(p, ann, bob)
		b.refused("one, and who starts it", p, &ann)
		b.give(p, bob, approval.Person{UID: bob.UID, Name: "robert"})
		b.refused("one person twice", p, &ann)
		b.give(p, cid)
		b.begins("two others", p, &ann, "robert cid")
		b.refused("the same approvals once more", p, &ann)
		b.refused("what was over is used up too", p, &root)
		if list, err := b.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("left: %+v (%v)", list, err)
		}
	})
}

// TestSchedule: where no person starts it, each one counts.
func TestSchedule(t *testing.T) {
	b := newBed(t, t.TempDir()+"/state.db")
	p := of("crm", "7", 1)
	b.refused("nobody", p, nil)
	b.give(p, root)
	if err := b.Enough(t.Context(), approval.Request{Plan: p}); err != nil {
		t.Error(err)
	}
	b.begins("one", p, nil, "root")
	if err := b.Enough(t.Context(), approval.Request{Plan: p}); !errors.Is(err, approval.ErrNeeded) {
		t.Errorf("got %v", err)
	}
	if permit := b.Permit(approval.Request{Plan: of("crm", "7", 0)}); permit != nil {
		t.Error("a rotation that needs no approval asks for one")
	}
}

// TestNoRunNoUse: an approval is used when a run begins, and not when the process ends before.
func TestNoRunNoUse(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		p := of("crm", "7", 1)
		b.give(p, bob)
		if _, err := b.begin(p, &ann, errCrash); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		b.begins("after a crash", p, &ann, "bob")
	})
}

// TestOneRunEach: of runs that begin at the same time, one gets the approval.
func TestOneRunEach(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		p := of("crm", "7", 1)
		b.give(p, bob)
		var all sync.WaitGroup
		began := make(chan string, 8)
		for range cap(began) {
			all.Go(func() {
				if names, err := b.begin(p, &ann, nil); err == nil {
					began <- strings.Join(names, " ")
				} else if !errors.Is(err, approval.ErrNeeded) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(began) != 1 {
			t.Errorf("%d runs began with one approval", len(began))
		}
	})
}

// TestAnotherPlan: an approval counts for the plan that was read, of that rotation.
func TestAnotherPlan(t *testing.T) {
	b := newBed(t, t.TempDir()+"/state.db")
	p := of("crm", "7", 1)
	b.give(p, bob)
	err := b.refused("another version is current", of("crm", "8", 1), &ann)
	for _, want := range []string{"bob approved of another plan", `was: Secret.Version = "7"`, `is:  Secret.Version = "8"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	b.refused("another rotation", of("erp", "7", 1), &ann)
	if _, err := b.Give(t.Context(), of("erp", "7", 1), p.Hash, bob); !errors.Is(err, approval.ErrChanged) {
		t.Errorf("the hash of another rotation was taken: %v", err)
	}
	if _, err := b.Give(t.Context(), of("crm", "8", 1), p.Hash, bob); !errors.Is(err, approval.ErrChanged) {
		t.Errorf("the hash of an older plan was taken: %v", err)
	}
	if _, err := b.Give(t.Context(), p, p.Hash[:12], bob); !errors.Is(err, approval.ErrChanged) {
		t.Errorf("a part of a hash was taken: %v", err)
	}
	b.begins("the same plan again", p, &ann, "bob")
}

// TestVersionMovedOn: the secret was changed between the plan and the run.
func TestVersionMovedOn(t *testing.T) {
	b := newBed(t, t.TempDir()+"/state.db")
	p := of("crm", "7", 1)
	b.give(p, bob)
	err := b.db.WriteQuietly(t.Context(), run.Topic, func(tx *sql.Tx) error {
		_, _, err := b.Permit(approval.Request{Plan: p, Starter: &ann})(t.Context(), tx,
			run.Entry{Name: "crm", OldVersion: "8"})
		return err
	})
	if !errors.Is(err, approval.ErrChanged) || fault.ExitOf(err) != fault.ExitApproval {
		t.Errorf("got %v", err)
	}
}

// TestFileMovedOn: a script was changed between the plan and the run.
func TestFileMovedOn(t *testing.T) {
	b := newBed(t, t.TempDir()+"/state.db")
	of := func(script string) *plan.Plan {
		p := of("crm", "7", 1)
		p.Does.Driver.Files = []driver.File{driver.FileOf("/etc/rotate", []byte(script))}
		return plan.New(p.Does, p.Now)
	}
	p := of("one")
	b.give(p, bob)
	err := b.db.WriteQuietly(t.Context(), run.Topic, func(tx *sql.Tx) error {
		_, _, err := b.Permit(approval.Request{Plan: p, Starter: &ann})(t.Context(), tx,
			run.Entry{Name: "crm", OldVersion: "7", Files: of("two").Does.Driver.Files})
		return err
	})
	if !errors.Is(err, approval.ErrChanged) || fault.ExitOf(err) != fault.ExitApproval {
		t.Errorf("got %v", err)
	}
	if err := b.refused("the plan with the other script", of("two"), &ann); !strings.Contains(err.Error(), "SHA256") {
		t.Errorf("it does not say what has changed: %v", err)
	}
	b.begins("the script that was approved of", p, &ann, "bob")
}

// TestLife: an approval expires, and one of a future that a clock has taken back does not live longer for it.
func TestLife(t *testing.T) {
	b := newBed(t, t.TempDir()+"/state.db")
	p := of("crm", "7", 1)
	b.give(p, bob)
	b.pass(approval.Life - time.Second)
	if err := b.Enough(t.Context(), approval.Request{Plan: p}); err != nil {
		t.Error(err)
	}
	b.pass(time.Second)
	b.refused("a day later", p, &ann)
	b.give(p, cid) // it clears away what has expired
	if list, err := b.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("got %+v (%v)", list, err)
	}
	b.pass(-time.Hour)
	b.refused("the clock was set back", p, &ann)
	var rows int
	if err := b.db.QueryRowContext(t.Context(), "SELECT count(*) FROM rotation_approval").Scan(&rows); err != nil ||
		rows != 1 {
		t.Errorf("%d rows (%v)", rows, err)
	}
}

// TestWriterOfTheDatabase: who writes rows beside Sallyport approves of nothing, and brings nothing back.
func TestWriterOfTheDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bed) {
		p := of("crm", "7", 1)
		b.give(p, bob)
		table, page := b.copy()
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := b.db.ExecContext(t.Context(), query, args...); err != nil {
				t.Fatal(err)
			}
		}
		exec("UPDATE rotation_approval SET body = replace(body, '1002', '1009')")
		b.refused("an altered row", p, &ann)
		exec("UPDATE rotation_approval SET body = $1", table.body)
		exec("UPDATE rotation_approval SET id = 'crm/1009'")
		b.refused("a row under another id", p, &ann)
		exec("DELETE FROM rotation_approval")
		b.refused("a row that is gone", p, &ann)
		exec("INSERT INTO rotation_approval (id, name, body) VALUES ($1, $2, $3)", table.id, table.name, table.body)
		b.begins("put back as it was, before it was used", p, &ann, "bob")

		exec("INSERT INTO rotation_approval (id, name, body) VALUES ($1, $2, $3)", table.id, table.name, table.body)
		b.refused("put back after it was used", p, &ann)
		if report, err := b.Check(t.Context()); err != nil || report.Unknown != 1 {
			t.Errorf("got %+v (%v)", report, err)
		}
		exec("UPDATE ledger SET mac = $1, page = $2 WHERE topic = 'rotation_approval'", page.mac, page.text)
		b.refused("with the list of its time", p, &ann)
		if report, err := b.Check(t.Context()); err != nil || report.List == "" {
			t.Errorf("got %+v (%v)", report, err)
		}
		if err := b.Accept(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.refused("the database was accepted", p, &ann)
	})
}

// TestHiddenWhileUsed: an approval that someone hides while another is used does not count when it comes back.
func TestHiddenWhileUsed(t *testing.T) {
	b := newBed(t, t.TempDir()+"/state.db")
	p := of("crm", "7", 1)
	b.give(p, bob)
	hidden, _ := b.copy()
	b.give(p, cid)
	if _, err := b.db.ExecContext(t.Context(), "DELETE FROM rotation_approval WHERE id = 'crm/1002'"); err != nil {
		t.Fatal(err)
	}
	b.begins("one of two", p, &ann, "cid")
	if _, err := b.db.ExecContext(t.Context(), "INSERT INTO rotation_approval (id, name, body) VALUES ($1, $2, $3)",
		hidden.id, hidden.name, hidden.body); err != nil {
		t.Fatal(err)
	}
	b.refused("the other one came back", p, &ann)
}

type (
	kept struct{ id, name, body string }
	list struct{ mac, text []byte }
)

// copy is what a writer of the database can put back: a row, and the list of rows.
func (b *bed) copy() (r kept, l list) {
	b.t.Helper()
	ctx := context.WithoutCancel(b.t.Context())
	err := b.db.QueryRowContext(ctx, "SELECT id, name, body FROM rotation_approval").Scan(&r.id, &r.name, &r.body)
	err = errors.Join(err, b.db.QueryRowContext(ctx,
		"SELECT mac, page FROM ledger WHERE topic = 'rotation_approval'").Scan(&l.mac, &l.text))
	if err != nil {
		b.t.Fatal(err)
	}
	return r, l
}
