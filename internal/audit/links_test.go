package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/audit"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// TestLinksAreNotFollowed: root, in a folder that another user may write to, makes, cuts and locks no file elsewhere
// because its log or its checkpoints are a link there, whatever that leads to.
func TestLinksAreNotFollowed(t *testing.T) {
	for name, lay := range map[string]func(from, to string) error{
		"a link": func(from, to string) error { return os.Symlink(to, from) },
		"a link into nothing": func(from, to string) error {
			return errors.Join(os.Rename(to, to+".away"), os.Symlink(to, from))
		},
		"a hard link": func(from, to string) error { return os.Link(to, from) },
	} {
		for _, file := range []string{"audit.jsonl", "audit.jsonl.checkpoints"} {
			t.Run(name+" as "+file, func(t *testing.T) {
				dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "shadow")
				const content = "not a log, and without an end of line"
				if err := os.WriteFile(elsewhere, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := lay(filepath.Join(dir, file), elsewhere); err != nil {
					t.Fatal(err)
				}
				l, err := audit.Open(t.Context(), audit.Options{
					Path: filepath.Join(dir, "audit.jsonl"),
					Keys: testKeys(), AcceptDamage: true,
				})
				if err == nil {
					_ = l.Close()
				}
				if err == nil || fault.HintOf(err) == "" {
					t.Errorf("got %v with the hint %q, want it refused", err, fault.HintOf(err))
				}
				if _, err := os.Lstat(elsewhere); name == "a link into nothing" && !errors.Is(err, os.ErrNotExist) {
					t.Error("a file was made where the link leads")
				}
				left, err := os.ReadFile(elsewhere)
				if errors.Is(err, os.ErrNotExist) {
					left, err = os.ReadFile(elsewhere + ".away")
				}
				if err != nil || string(left) != content {
					t.Errorf("what the link leads to is now %q, %v", left, err)
				}
			})
		}
	}
}

// TestForeignFolder: a log in another user's folder, or one that is another user's, is refused. Only root can make one
// to try.
func TestForeignFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		return // localfile.TestTrust has the rule for other users
	}
	const nobody = 65534
	for name, foreign := range map[string]func(dir string) error{
		"folder":      func(dir string) error { return os.Chown(dir, nobody, nobody) },
		"log":         func(dir string) error { return given(filepath.Join(dir, "audit.jsonl"), nobody) },
		"checkpoints": func(dir string) error { return given(filepath.Join(dir, "audit.jsonl.checkpoints"), nobody) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := foreign(dir); err != nil {
				t.Fatal(err)
			}
			l, err := audit.Open(t.Context(), audit.Options{
				Path: filepath.Join(dir, "audit.jsonl"), Keys: testKeys(),
				AcceptDamage: true,
			})
			if err == nil {
				_ = l.Close()
			}
			if !errors.Is(err, localfile.ErrForeign) || fault.HintOf(err) == "" {
				t.Errorf("got %v with the hint %q", err, fault.HintOf(err))
			}
		})
	}
}

func given(path string, uid int) error {
	return errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, uid, uid))
}
