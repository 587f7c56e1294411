package database_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/database"
)

// TestLinks: a database that is a link, or has one beside it, is not opened, and what the link leads to stays as it is.
func TestLinks(t *testing.T) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		for what, link := range map[string]func(from, to string) error{"symbolic": os.Symlink, "hard": os.Link} {
			dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "precious")
			path := filepath.Join(dir, "state.db")
			if err := errors.Join(os.WriteFile(elsewhere, nil, 0o644), link(elsewhere, path+suffix)); err != nil {
				t.Fatal(err)
			}
			if db, err := database.Open(t.Context(), "sqlite://"+path); err == nil {
				t.Errorf("%s link %s: opened", what, suffix)
				_ = db.Close()
			}
			if info, err := os.Stat(elsewhere); err != nil || info.Size() != 0 || info.Mode().Perm() != 0o644 {
				t.Errorf("%s link %s: changed to %v %v", what, suffix, info, err)
			}
		}
	}
}
