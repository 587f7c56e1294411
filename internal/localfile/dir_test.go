package localfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// stranger is a uid that is neither this process's nor root's.
func stranger() int { return os.Geteuid() + 4711 }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *localfile.Dir {
	t.Helper()
	d, err := localfile.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// TestOwnFilesAreNoLinks: whatever has the name of a file of ours, nothing but a file of ours is opened, made or
// changed.
func TestOwnFilesAreNoLinks(t *testing.T) {
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	write(t, elsewhere, "precious")
	write(t, filepath.Join(dir, "beside"), "precious too")
	cases := map[string]func(name string) error{
		"a link to a file elsewhere": func(name string) error { return os.Symlink(elsewhere, name) },
		"a link to a file beside it": func(name string) error { return os.Symlink("beside", name) },
		"a link to nothing": func(name string) error {
			return os.Symlink(filepath.Join(t.TempDir(), "new"), name)
		},
		"a link to nothing beside it": func(name string) error { return os.Symlink("nothing", name) },
		"a link to itself":            func(name string) error { return os.Symlink(filepath.Base(name), name) },
		"a second name":               func(name string) error { return os.Link(filepath.Join(dir, "beside"), name) },
		"a directory":                 func(name string) error { return os.Mkdir(name, 0o700) },
		"a FIFO":                      func(name string) error { return syscall.Mkfifo(name, 0o600) },
	}
	for what, make := range cases {
		t.Run(what, func(t *testing.T) {
			name := filepath.Join(dir, "own")
			if err := make(name); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(name)
			before := names(t, dir)
			d := open(t, dir)
			if err := d.Check("own"); err == nil {
				t.Error("Check finds nothing wrong")
			}
			for _, flag := range []int{
				os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE,
				os.O_WRONLY | os.O_CREATE | os.O_APPEND, os.O_RDWR | os.O_CREATE | os.O_EXCL,
			} {
				if f, err := d.Open("own", flag, 0o600); err == nil {
					t.Errorf("opened with flags %#x: %q", flag, f.Name())
				}
				if f, err := localfile.OpenOwn(name, flag, 0o600); err == nil {
					t.Errorf("OpenOwn with flags %#x: %q", flag, f.Name())
				}
			}
			if f, err := localfile.Create(name, 0o600); !errors.Is(err, fs.ErrExist) {
				t.Errorf("Create: got %v %v, want that it exists", f, err)
			}
			if got := names(t, dir); len(got) != len(before) {
				t.Errorf("the directory has %q, and had %q", got, before)
			}
			for _, path := range []string{elsewhere, filepath.Join(dir, "beside")} {
				info, err := os.Stat(path)
				if err != nil || info.Mode().Perm() != 0o644 || info.Size() < 8 {
					t.Errorf("%q was changed: %v %v", path, info, err)
				}
			}
		})
	}
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestOwnFile is made once and opened again.
func TestOwnFile(t *testing.T) {
	d := open(t, t.TempDir())
	if err := d.Check("own"); err != nil {
		t.Errorf("nothing of that name: got %v", err)
	}
	for range 2 {
		f, err := d.Open("own", os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("x"); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	info, err := d.Lstat("own")
	if err != nil || info.Size() != 2 || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v %v", info, err)
	}
	if err := d.Check("own"); err != nil {
		t.Error(err)
	}
}

// TestTrust: who decides for whom.
func TestTrust(t *testing.T) {
	for _, c := range []struct {
		self, uid int
		want      bool
	}{{0, 0, true}, {1000, 1000, true}, {1000, 0, true}, {0, 1000, false}, {1000, 1001, false}, {1000, -1, false}} {
		if got := localfile.Trusts(c.self, c.uid); got != c.want {
			t.Errorf("uid %d trusts uid %d: got %v, want %v", c.self, c.uid, got, c.want)
		}
		if err := localfile.JudgePeer(c.uid, c.self); (err == nil) != c.want || err != nil &&
			!errors.Is(err, localfile.ErrPeer) {
			t.Errorf("uid %d talks with uid %d: got %v, want %v", c.self, c.uid, err, c.want)
		}
	}
}

// TestForeignDirectory: a directory, a file or a link of another user is refused with what to do. Root, who may give
// files away, sees it on real ones.
func TestForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	self := os.Geteuid()
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, localfile.ErrForeign) || fault.HintOf(err) == "" {
			t.Errorf("%s: got %v, hint %q", what, err, fault.HintOf(err))
		}
	}
	if self != 0 {
		check("the directory, for another user", localfile.JudgeDir(info, stranger()))
		return
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Symlink(dir, link), os.Chown(filepath.Join(dir, "file"), stranger(), -1)); err != nil {
		t.Fatal(err)
	}
	d := open(t, link)
	if d.Path() != dir {
		t.Errorf("through a link of our own: got %q, want %q", d.Path(), dir)
	}
	check("a file", d.Check("file"))
	_, err = d.Open("file", os.O_RDWR, 0)
	check("opening a file", err)
	if err := os.Lchown(link, stranger(), -1); err != nil {
		t.Fatal(err)
	}
	_, err = localfile.OpenDir(link)
	check("through a link of someone else", err)
	_, err = localfile.OpenDir(filepath.Join(link, "."))
	check("through a link of someone else, with more behind it", err)
	_, err = localfile.MakeDir(filepath.Join(link, "deep", "er"))
	check("making one behind a link of someone else", err)
	if err := os.Chown(dir, stranger(), -1); err != nil {
		t.Fatal(err)
	}
	_, err = localfile.OpenDir(dir)
	check("a directory", err)
	_, err = localfile.OpenOwn(filepath.Join(dir, "new"), os.O_RDWR|os.O_CREATE, 0o600)
	check("a file in it", err)
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("the other user's directory has %q", got)
	}
}

// TestOpenToAll: this user's own directory is not writable for everybody; root's may be, as volumes of Kubernetes are.
func TestOpenToAll(t *testing.T) {
	dir := t.TempDir()
	for mode, want := range map[fs.FileMode]bool{0o700: true, 0o755: true, 0o775: true, 0o777: false, 0o707: false} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		d, err := localfile.OpenDir(dir)
		if want = want || os.Geteuid() == 0; (err == nil) != want {
			t.Errorf("mode %v: got %v, want %v", mode, err, want)
		}
		if err == nil {
			_ = d.Close()
		}
	}
}

// TestResolve follows links as the kernel does.
func TestResolve(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{
		"up": "a/b/..", "far": deep, "loop": "loop", "two": "far/../b",
		"gone": "nowhere",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"", "a", "a/b", "up", "far", "two", "up/b", "a/../far",
		"loop", "gone", "nothing/at/all",
	} {
		path := filepath.Join(dir, name)
		want, wantErr := filepath.EvalSymlinks(path)
		got, err := localfile.Resolve(path, os.Geteuid())
		if got != want || (err == nil) != (wantErr == nil) {
			t.Errorf("%q: got %q %v, want %q %v", name, got, err, want, wantErr)
		}
	}
}
