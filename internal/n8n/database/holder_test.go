package database_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/n8n/database"
)

// holderEnv makes the test binary a process that keeps a SQLite file open, as n8n does: it says so, and goes when its
// input ends.
const holderEnv = "SALLYPORT_TEST_HOLDER"

func hold(path string) {
	db, err := sql.Open("sqlite", "file:"+path)
	if err == nil {
		var n int
		err = db.QueryRowContext(context.Background(), "SELECT count(*) FROM sqlite_master").Scan(&n)
	}
	fmt.Println("holding", err)
	io.Copy(io.Discard, os.Stdin)
}

// holder starts such a process and returns its id.
func holder(t *testing.T, path string) (pid string, end func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Args = []string{"/usr/bin/node", "/usr/local/bin/n8n", "start", "--token=nobody-is-shown-this"}
	cmd.Env = append(os.Environ(), holderEnv+"="+path)
	cmd.Stderr = os.Stderr
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if errIn != nil || errOut != nil {
		t.Fatal(errIn, errOut)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len("holding <nil>"))
	if _, err := io.ReadFull(out, said); err != nil || string(said) != "holding <nil>" {
		t.Fatalf("it said %q, %v", said, err)
	}
	return fmt.Sprint(cmd.Process.Pid), func() { in.Close(); cmd.Wait() }
}

// TestSessionsOfSQLite finds another process that has the file open, with a write-ahead log or a rollback journal, and
// nobody when it has gone; nor does the look give back our own locks.
func TestSessionsOfSQLite(t *testing.T) {
	for _, journal := range []string{"WAL", "DELETE"} {
		t.Run(journal, func(t *testing.T) {
			s := newSite(t, database.SQLite, "", "")
			plain := filepath.Join(filepath.Dir(strings.TrimPrefix(s.URL, "sqlite://")), "plain.sqlite")
			s.exec("VACUUM INTO ?", plain)
			s.URL = "sqlite://" + plain
			s.raw.Close()
			var err error
			if s.raw, err = sql.Open("sqlite", "file:"+plain); err != nil {
				t.Fatal(err)
			}
			s.exec("PRAGMA journal_mode = " + journal)
			db := s.open()
			if sessions, err := db.Sessions(t.Context()); len(sessions) > 0 || err != nil {
				t.Fatalf("before: %v, %v", sessions, err)
			}
			pid, end := holder(t, plain)
			sessions, err := db.Sessions(t.Context())
			if err != nil || len(sessions) != 1 || sessions[0].Process != pid || sessions[0].Application != "node n8n" {
				t.Errorf("got %+v, %v; want pid %s, node n8n", sessions, err, pid)
			}
			if locked := strings.Contains(fmt.Sprint(sessions), "holds a lock"); locked != (journal == "WAL") {
				t.Errorf("%v", sessions)
			}
			end()
			if sessions, err := db.Sessions(t.Context()); len(sessions) > 0 || err != nil {
				t.Errorf("after: %v, %v", sessions, err)
			}

			tx := begin(t, db, true)
			if _, err := db.Sessions(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, end = holder(t, plain)
			defer end()
			s.exec("PRAGMA busy_timeout = 0")
			if _, err := s.raw.ExecContext(t.Context(), "DELETE FROM settings"); err == nil {
				t.Error("our lock is gone")
			}
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSessionsOfServers finds the foreigner, and none of our own connections.
func TestSessionsOfServers(t *testing.T) {
	for _, dialect := range []database.Dialect{database.PostgreSQL, database.MySQL} {
		t.Run(string(dialect), func(t *testing.T) {
			s := newSite(t, dialect, "", "")
			query := map[database.Dialect]string{
				database.PostgreSQL: "SELECT pg_backend_pid()::text",
				database.MySQL:      "SELECT connection_id()",
			}[dialect]
			var id string
			if err := s.raw.QueryRowContext(t.Context(), query).Scan(&id); err != nil {
				t.Fatal(err)
			}
			db := s.open()
			begin(t, db, true)
			begin(t, db, false)
			sessions, err := db.Sessions(t.Context())
			if err != nil || len(sessions) != 1 || sessions[0].Process != id ||
				!strings.Contains(sessions[0].Who, "pid "+id) {
				t.Errorf("got %+v, %v; want %s", sessions, err, id)
			}
		})
	}
}
