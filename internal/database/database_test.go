package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/testkit"
)

var postgres testkit.Postgres

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// onBoth runs test on a database URL of either dialect, each naming a new, empty database.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite://"+filepath.Join(t.TempDir(), "state.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, postgres.URL(t)) })
}

func open(t *testing.T, url string) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func migrated(t *testing.T, url string) *database.DB {
	t.Helper()
	db := open(t, url)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestMigrateByManyProcessesAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		const processes = 6
		errs := make(chan error, processes)
		for range processes {
			db := open(t, url)
			go func() { errs <- db.Migrate(t.Context()) }()
		}
		for range processes {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		var rows int
		db := open(t, url)
		if err := db.QueryRow("SELECT count(*) FROM sallyport_schema WHERE version_id = 1").Scan(&rows); err != nil ||
			rows != 1 {
			t.Errorf("migration 1 is recorded %d times (%v), want once", rows, err)
		}
		if err := db.Migrate(t.Context()); err != nil {
			t.Errorf("migrating again: %v", err)
		}
	})
}

func TestMigrateWaitsForAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	other, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	db := open(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := db.Migrate(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another process migrates: got %v, want the context's end", err)
	}
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestMigrateRefusesANewerDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db := migrated(t, url)
		if _, err := db.Exec("INSERT INTO sallyport_schema (version_id, is_applied) VALUES (99999, '1')"); err != nil {
			t.Fatal(err)
		}
		err := db.Migrate(t.Context())
		if err == nil || !strings.Contains(err.Error(), "version 99999") || fault.HintOf(err) == "" {
			t.Errorf("got %v (hint %q), want a refusal that names the version", err, fault.HintOf(err))
		}
	})
}

func TestWriteIsSerialisedAcrossProcesses(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		const writers, rounds = 4, 10
		first := migrated(t, url)
		if _, err := first.Exec("INSERT INTO secret (name, latest, created) VALUES ('n', 0, 1)"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range writers {
			db := open(t, url)
			wg.Go(func() {
				for range rounds {
					if err := db.Write(t.Context(), "secrets", increment(t.Context())); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		var got int
		if err := first.QueryRow("SELECT latest FROM secret").Scan(&got); err != nil || got != writers*rounds {
			t.Errorf("counted %d (%v), want %d: two transactions read the same state", got, err, writers*rounds)
		}
	})
}

// increment reads and writes in two steps, so that it loses counts where transactions overlap.
func increment(ctx context.Context) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT latest FROM secret WHERE name = $1", "n").Scan(&n); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE secret SET latest = $1 WHERE name = $2", n+1, "n")
		return err
	}
}

func TestWriteRollsBack(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db := migrated(t, url)
		insert := func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO secret (name, latest, created) VALUES ('n', 0, 1)")
			return err
		}
		want := fmt.Errorf("no")
		err := db.Write(t.Context(), "secrets", func(tx *sql.Tx) error { _ = insert(tx); return want })
		if err != want { //nolint:errorlint // it must come back as it is
			t.Errorf("got %v, want the function's own error", err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = db.Write(t.Context(), "secrets", func(tx *sql.Tx) error { _ = insert(tx); panic("no") })
		}()
		var rows int
		if err := db.QueryRow("SELECT count(*) FROM secret").Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%d rows stayed (%v), want none", rows, err)
		}
		if err := db.Write(t.Context(), "secrets", insert); err != nil {
			t.Errorf("writing after a panic: %v", err)
		}
	})
}
