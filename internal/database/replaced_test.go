package database_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/database"
)

// TestConnectionsToTheOpenedFile: while the file is away, or another is in its place, the pool makes no connection, and
// no file either; with the file back in its place all goes on.
func TestConnectionsToTheOpenedFile(t *testing.T) {
	for name, replace := range map[string]func(t *testing.T, path string){
		"away":    func(*testing.T, string) {},
		"empty":   func(t *testing.T, path string) { write(t, path) },
		"another": func(t *testing.T, path string) { copied(t, path+".away", path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sallyport.db")
			db, err := database.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE kept (n)"); err != nil {
				t.Fatal(err)
			}
			first := conn(t, db)
			move(t, path, path+".away")
			replace(t, path)
			if _, err := db.Conn(t.Context()); err == nil {
				t.Fatal("a second connection was made")
			}
			if name == "away" {
				if _, err := os.Lstat(path); err == nil {
					t.Error("a file was made")
				}
			}
			move(t, path+".away", path)
			second := conn(t, db)
			for _, one := range []*sql.Conn{first, second} {
				if _, err := one.ExecContext(t.Context(), "INSERT INTO kept VALUES (1)"); err != nil {
					t.Error(err)
				}
			}
			var n int
			if err := second.QueryRowContext(t.Context(), "SELECT count(*) FROM kept").Scan(&n); err != nil || n != 2 {
				t.Errorf("got %d rows, %v", n, err)
			}
		})
	}
}

func conn(t *testing.T, db *database.DB) *sql.Conn {
	t.Helper()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func copied(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
