package database_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/fault"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestSQLiteFileModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "state ?#%.db")
	migrated(t, path)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %o, want 600", path+suffix, got)
		}
	}
}

func TestOpenTightensAnOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	migrated(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 600", info.Mode(), err)
	}
}

func TestSQLiteIsDurable(t *testing.T) {
	db := migrated(t, filepath.Join(t.TempDir(), "state.db"))
	for pragma, want := range map[string]string{
		"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1",
		"secure_delete": "1",
	} {
		var got string
		if err := db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("PRAGMA %s is %q (%v), want %q", pragma, got, err, want)
		}
	}
}

func TestPostgresIsDurable(t *testing.T) {
	url := postgres.URL(t)
	admin := open(t, url)
	if _, err := admin.Exec("ALTER DATABASE " + databaseName(t, admin) + " SET synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := open(t, url).QueryRow("SHOW synchronous_commit").Scan(&got); err != nil || got != "on" {
		t.Errorf("synchronous_commit is %q (%v), want on", got, err)
	}
}

func databaseName(t *testing.T, db *database.DB) (name string) {
	t.Helper()
	if err := db.QueryRow("SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is not a database. ", 400)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ url, hint string }{
		"garbage":        {garbage, "backup"},
		"a directory":    {t.TempDir(), "writable"},
		"no such scheme": {"mysql://u:canary-pw@h/db", "sqlite:///"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := database.Open(t.Context(), c.url)
			if err == nil || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("got %v with hint %q, want one about %q", err, fault.HintOf(err), c.hint)
			}
		})
	}
}

// TestOpenByManyAtOnce: the first commands on a new data directory may run at the same time.
func TestOpenByManyAtOnce(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "state.db")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				db, err := database.Open(t.Context(), path)
				if err != nil {
					t.Error(err)
					return
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

func TestLockedDatabaseSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	migrated(t, path)
	holder, other := open(t, path), open(t, path)
	tx, err := holder.Begin() // takes the write lock
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(t.Context(), "PRAGMA busy_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	_, err = conn.ExecContext(t.Context(), "DELETE FROM secret")
	err = database.Explain(err)
	if fault.ExitOf(err) != fault.ExitLocked || !strings.Contains(fault.HintOf(err), "another process") {
		t.Errorf("got %v, exit %d, hint %q", err, fault.ExitOf(err), fault.HintOf(err))
	}
}

func TestExplain(t *testing.T) {
	for state, hint := range map[string]string{
		"28P01": "pg_hba.conf", "3D000": "createdb", "42501": "CREATE and USAGE", "53300": "out of connections", "25006": "read-only standby", "XX000": "",
	} {
		err := database.Explain(fmt.Errorf("doing: %w", &pgconn.PgError{Code: state}))
		if !strings.Contains(fault.HintOf(err), hint) || (hint == "") != (fault.HintOf(err) == "") ||
			fault.ExitOf(err) != fault.ExitStore {
			t.Errorf("SQLSTATE %s: hint %q, exit %d; want one about %q", state, fault.HintOf(err),
				fault.ExitOf(err), hint)
		}
	}
	plain := errors.New("of something else")
	if err := database.Explain(plain); !errors.Is(err, plain) || fault.HintOf(err) != "" ||
		fault.ExitOf(err) != fault.ExitError {
		t.Errorf("an error that no driver made became %v", err)
	}
	if err := database.Explain(nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}

func TestNoPasswordInErrors(t *testing.T) {
	const password = "canary-pw-5b1e"
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	_ = closed.Close()
	for _, url := range []string{
		"postgres://u:" + password + "@" + address + "/db?sslmode=disable",
		"postgres://u@" + address + "/db?sslmode=disable&password=" + password,
		"postgres://u@" + address + "/db?sslmode=verify-full&sslrootcert=/nowhere&password=" + password,
		"postgres://u:" + password + "/x@" + address + "/db",
		"postgres://u:x@" + password + "@h:5432/db",
		"postgres://a@u:" + password + "@h/db",
		"postgres://u:" + password + "@h:port/db",
		"postgres://u:%zz" + password + "@h/db",
		"postgresql://u:" + password + "@[::1/db",
		"mysql://u:" + password + "@h/db",
		"nothing:" + password + "://x",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := database.Open(ctx, url)
		cancel()
		if err == nil {
			t.Errorf("opening %q worked", url)
			continue
		}
		if text := err.Error() + fault.HintOf(err); strings.Contains(text, password) {
			t.Errorf("opening %q: the error has the password: %s", url, text)
		}
	}
}
