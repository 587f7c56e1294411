package file_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/file"
	"sallyport/internal/secret/storetest"
)

const canary = "canary-s3cret"

func open(t *testing.T, dir string) *file.Store {
	t.Helper()
	store, err := file.New(file.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// seeded puts values into the folder as a person does, with a line break at the end.
type seeded struct {
	*file.Store
	dir string
}

func (s seeded) Seed(_ context.Context, path string, value []byte) error {
	name := filepath.Join(s.dir, path)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, append(value, '\n'), 0o600)
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) secret.Store {
		dir := t.TempDir()
		return seeded{open(t, dir), dir}
	})
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// link makes a symbolic link.
func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestOneLineBreakAtTheEndIsNotTheValue(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		"a": "a", "a\n": "a", "a\r\n": "a", "a\n\n": "a\n", "a\r": "a\r",
		"\na ": "\na ", "\n\n": "\n", "a\x00\n": "a\x00", "\ufeffa\r\n": "a", "a\ufeff": "a\ufeff",
	} {
		write(t, filepath.Join(dir, "x"), content)
		value, _, err := open(t, dir).Get(t.Context(), "x", "")
		if err != nil || string(value.Reveal()) != want {
			t.Errorf("%q: got %q, %v; want %q", content, value.Reveal(), err, want)
		}
	}
}

func TestTheLargestValue(t *testing.T) {
	dir := t.TempDir()
	store := open(t, dir)
	write(t, filepath.Join(dir, "x"), strings.Repeat("x", file.MaxValue)+"\r\n")
	value, _, err := store.Get(t.Context(), "x", "")
	if err != nil || value.Len() != file.MaxValue {
		t.Errorf("got %d bytes, %v", value.Len(), err)
	}
	for _, extra := range []string{"x", "x\n", "xx\r\n", strings.Repeat("x", 1<<20)} {
		write(t, filepath.Join(dir, "x"), strings.Repeat("x", file.MaxValue)+extra)
		_, _, err := store.Get(t.Context(), "x", "")
		wantErr(t, err, secret.ErrUnavailable, "1 MiB")
	}
}

// wantErr checks the sentinel, that there is a hint, and that the message has a part.
func wantErr(t *testing.T, err, want error, part string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), part) || fault.HintOf(err) == "" {
		t.Errorf("got %v (hint %q), want %v with %q and a hint", err, fault.HintOf(err), want, part)
	}
	if errors.Is(want, secret.ErrUnavailable) && fault.ExitOf(err) != fault.ExitStore {
		t.Errorf("%v ends with exit code %d, want %d", err, fault.ExitOf(err), fault.ExitStore)
	}
	if err != nil && strings.Contains(err.Error()+fault.HintOf(err), canary) {
		t.Errorf("%v shows a secret", err)
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "empty"), "")
	write(t, filepath.Join(dir, "newline"), "\n")
	write(t, filepath.Join(dir, "folder/file"), canary)
	link(t, "nowhere", filepath.Join(dir, "dangling"))
	link(t, "loop", filepath.Join(dir, "loop"))
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := open(t, dir)
	for path, c := range map[string]struct {
		want error
		part string
	}{
		"folder":                 {secret.ErrNotFound, "it is a folder"},
		"folder/file/below":      {secret.ErrNotFound, ""},
		"dangling":               {secret.ErrNotFound, ""},
		"pipe":                   {secret.ErrNotFound, "special file"},
		"empty":                  {secret.ErrUnavailable, "empty"},
		"newline":                {secret.ErrUnavailable, "empty"},
		"loop":                   {secret.ErrUnavailable, "too many levels of symbolic links"},
		strings.Repeat("n", 300): {secret.ErrNotFound, ""},
	} {
		_, _, err := store.Get(t.Context(), path, "")
		wantErr(t, err, c.want, c.part)
	}
	_, v, err := store.Get(t.Context(), "folder/file", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, same, err := store.Get(t.Context(), "folder/file", v.ID); err != nil || same != v {
		t.Errorf("got %+v, %v for the version that there is", same, err)
	}
	_, _, err = store.Get(t.Context(), "folder/file", "2")
	wantErr(t, err, secret.ErrVersionGone, "folder/file")
	if err := os.Remove(filepath.Join(dir, "folder/file")); err != nil {
		t.Fatal(err)
	}
	_, _, err = store.Get(t.Context(), "folder/file", v.ID)
	wantErr(t, err, secret.ErrNotFound, "folder/file")
}

// TestAFolderThatIsNotMountedIsAnOutage: the last known good stays active, where a secret that is gone would end it.
func TestAFolderThatIsNotMountedIsAnOutage(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), canary)
	for _, bad := range []string{"nothing", "file"} {
		store := open(t, filepath.Join(dir, bad))
		_, _, err := store.Get(t.Context(), "x", "")
		wantErr(t, err, secret.ErrUnavailable, bad)
		_, err = store.List(t.Context(), "")
		wantErr(t, err, secret.ErrUnavailable, bad)
	}
	if _, err := file.New(file.Options{}); err == nil || fault.HintOf(err) == "" {
		t.Errorf("no folder: %v", err)
	}
}

func TestNothingOutsideTheFolder(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "in")
	write(t, filepath.Join(top, "out"), canary)
	write(t, filepath.Join(dir, "x"), "inside")
	link(t, "../out", filepath.Join(dir, "relative"))
	link(t, filepath.Join(top, "out"), filepath.Join(dir, "absolute"))
	link(t, "..", filepath.Join(dir, "up"))
	link(t, "x", filepath.Join(dir, "fine"))
	store := open(t, dir)
	for _, path := range []string{
		"relative", "absolute", "up/out", filepath.Join(top, "out"),
		top + "/in2/x", "/etc/passwd",
	} {
		_, _, err := store.Get(t.Context(), path, "")
		wantErr(t, err, secret.ErrDenied, path)
	}
	for _, path := range []string{
		"", "/", ".", "..", "../out", "x/../../out", "./x", "x/", "//x", "x\x00", "..data/x",
		dir + "/../out", dir + "//x", dir,
	} {
		_, _, err := store.Get(t.Context(), path, "")
		if err == nil || (!errors.Is(err, secret.ErrNotFound) && !errors.Is(err, secret.ErrDenied)) {
			t.Errorf("path %q: got %v", path, err)
		}
	}
	for _, path := range []string{"x", "fine", dir + "/x"} {
		if value, _, err := store.Get(t.Context(), path, ""); err != nil || string(value.Reveal()) != "inside" {
			t.Errorf("path %q: got %q, %v", path, value.Reveal(), err)
		}
	}
	entries, err := store.List(t.Context(), "")
	if err != nil || cmp.Diff([]string{"fine", "x"}, paths(entries)) != "" {
		t.Errorf("listed %q, %v", paths(entries), err)
	}
}

func paths(entries []secret.Entry) (list []string) {
	for _, e := range entries {
		list = append(list, e.Path)
	}
	return list
}

// TestSockets: what cannot be opened as a file is no secret either.
func TestSockets(t *testing.T) {
	t.Chdir(t.TempDir()) // a socket's name is short
	l, err := net.Listen("unix", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, _, err = open(t, ".").Get(t.Context(), "s", "")
	wantErr(t, err, secret.ErrUnavailable, "cannot be read")
}

// TestAsKubernetesMountsIt: the names are links through ..data, which is exchanged for another at once.
func TestAsKubernetesMountsIt(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "..2026_01/key"), "old")
	link(t, "..2026_01", filepath.Join(dir, "..data"))
	link(t, "..data/key", filepath.Join(dir, "key"))
	store := open(t, dir)
	entries, err := store.List(t.Context(), "")
	if err != nil || cmp.Diff([]string{"key"}, paths(entries)) != "" {
		t.Errorf("listed %q, %v", paths(entries), err)
	}
	synctest.Test(t, func(t *testing.T) {
		changes := watch(t, store, "key", "other")
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{""}, changes()); diff != "" {
			t.Errorf("told without a change: %s", diff)
		}
		write(t, filepath.Join(dir, "..2026_02/key"), "new")
		link(t, "..2026_02", filepath.Join(dir, "..data_tmp"))
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(file.DefaultPoll)
		synctest.Wait()
		if diff := cmp.Diff([]string{"", "key"}, changes()); diff != "" {
			t.Error(diff)
		}
	})
	if value, _, err := store.Get(t.Context(), "key", ""); err != nil || string(value.Reveal()) != "new" {
		t.Errorf("got %q, %v", value.Reveal(), err)
	}
}

// watch watches until the test ends; the function returns what it has told so far.
func watch(t *testing.T, store *file.Store, paths ...string) func() []string {
	t.Helper()
	var mu sync.Mutex
	var changes []string
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- store.Watch(ctx, paths, func(path string) {
			mu.Lock()
			defer mu.Unlock()
			changes = append(changes, path)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the watch ended with %v", err)
		}
	})
	synctest.Wait()
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(changes)
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x")
	step := func(do func() error) {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		changes := watch(t, open(t, dir), "x", "y", "../z")
		want := []string{""}
		for what, do := range []func() error{
			func() error { return os.WriteFile(name, []byte("one"), 0o600) },
			func() error { return os.WriteFile(name, []byte("three"), 0o600) },
			func() error {
				return errors.Join(os.WriteFile(name+"~", []byte("other"), 0o600), os.Rename(name+"~", name))
			},
			func() error { return os.Remove(name) },
			func() error { return os.Mkdir(name, 0o700) },
			func() error { return os.RemoveAll(dir) },
		} {
			step(do)
			time.Sleep(file.DefaultPoll)
			synctest.Wait()
			want = append(want, "x")
			if diff := cmp.Diff(want, changes()); diff != "" {
				t.Fatalf("step %d: %s", what, diff)
			}
		}
		time.Sleep(time.Hour)
		if len(changes()) != len(want) {
			t.Errorf("told %q without a change", changes()[len(want):])
		}
	})
}

func TestListInFolders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b", "a/z", "a/B", "ab", ".hidden", "..version/a"} {
		write(t, filepath.Join(dir, name), canary)
	}
	store := open(t, dir)
	for prefix, want := range map[string][]string{
		"": {".hidden", "a/B", "a/z", "ab", "b"}, "a": {"a/B", "a/z", "ab"},
		"a/": {"a/B", "a/z"}, "c": nil,
	} {
		entries, err := store.List(t.Context(), prefix)
		if diff := cmp.Diff(want, paths(entries)); diff != "" || err != nil {
			t.Errorf("prefix %q: %v %s", prefix, err, diff)
		}
	}
	history, err := store.History(t.Context(), "b")
	if err != nil || len(history) != 1 || !history[0].Current {
		t.Errorf("got %+v, %v", history, err)
	}
}

var _ interface {
	secret.Store
	secret.Lister
	secret.Watcher
} = (*file.Store)(nil)
