package rekey_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/testkit"
	"sallyport/internal/testkit/recorded"
)

// disk is a small disk of the test's own.
func disk(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	testkit.RequireTool(t, "the right to mount a small disk", err == nil, "root has it")
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk has no room for the backup, or for the database, at several points of a change.
func TestFullDisk(t *testing.T) {
	r := recorded.Named(t, "2.41.1-sqlite-rotated")
	t.Run("backup", func(t *testing.T) {
		s := newSite(t, r)
		before := s.dump()
		o := s.fromTo(s.master(), masterkey.Generate())
		o.Leaked, o.Backup = true, filepath.Join(disk(t, 16<<10), "backup")
		_, err := s.run(o)
		if err == nil || !strings.Contains(fault.HintOf(err), "nothing was changed") {
			t.Errorf("got %v, hint %q", err, fault.HintOf(err))
		}
		s.unchanged(before, o)
	})
	for _, journal := range []string{"wal", "delete"} {
		failed := 0
		for room := int64(36 << 10); room <= 276<<10; room += 30 << 10 { // the -shm alone takes 32 KiB
			t.Run(fmt.Sprintf("database %s %d", journal, room), func(t *testing.T) {
				s := newSite(t, r)
				s.exec("PRAGMA journal_mode = " + journal)
				content := must(os.ReadFile(strings.TrimPrefix(s.options.URL, "sqlite://")))(t)
				_ = s.raw.Close()
				full := filepath.Join(disk(t, (int64(len(content))+4095)/4096*4096+4096+room), "database.sqlite")
				if err := os.WriteFile(full, content, 0o600); err != nil {
					t.Fatal(err)
				}
				s.options.URL = "sqlite://" + full
				o := s.fromTo(s.master(), masterkey.Generate())
				o.Leaked = true
				key := o.New
				if _, err := s.run(o); err != nil {
					failed++
					key = s.master()
					if _, left := os.Stat(o.Backup); left == nil || fault.HintOf(err) == "" {
						t.Errorf("got %v, hint %q, backup: %v", err, fault.HintOf(err), left)
					}
				}
				if lines, closed := s.reads(key); closed != 0 || cmp.Diff(s.holds(), lines) != "" {
					t.Errorf("%d closed, and (-want +got):\n%s", closed, cmp.Diff(s.holds(), lines))
				}
			})
		}
		if journal == "wal" && failed == 0 && os.Geteuid() == 0 {
			t.Log("no disk was too small: the test wants other sizes")
		}
	}
}
