package cli_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/cli"
)

// command runs sallyport in this process.
func command(t *testing.T, args ...string) (exit int, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code := cli.Main(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	return int(code), errs.String()
}

// names lists what is in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]string, 0, len(entries))
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestInitInForeignFolder: root leaves no key and no CA where another user decides what they are.
func TestInitInForeignFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root can make another user's folder to try
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := errors.Join(os.Mkdir(data, 0o755), os.Chown(data, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	exit, stderr := command(t, "init", "--config", filepath.Join(dir, "sallyport.yaml"), "--data", data)
	if exit == 0 || !strings.Contains(stderr, "belongs to another user") || !strings.Contains(stderr, "sudo -u") {
		t.Errorf("exit %d:\n%s", exit, stderr)
	}
	if left := names(t, data); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
	link := filepath.Join(dir, "linked.yaml")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	_, _ = command(t, "init", "--config", link, "--data", filepath.Join(dir, "own"))
	if _, err := os.Stat(filepath.Join(dir, "elsewhere")); err == nil {
		t.Error("a configuration was written through a link")
	}
}

// TestVerifyOut: an answer goes into a new file of that very name, in whomever's folder, or nowhere.
func TestVerifyOut(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	elsewhere := filepath.Join(t.TempDir(), "shadow")
	const content = "what was there"
	foreign := filepath.Join(dir, "foreign")
	if err := errors.Join(os.WriteFile(key, []byte("q1W2e3R4t5Y6u7I8o9P0aSdFgHjKlZxC"), 0o600),
		os.WriteFile(elsewhere, []byte(content), 0o600), os.Mkdir(foreign, 0o755)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(foreign, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", filepath.Join(dir, "none"))
	t.Setenv("N8N_ENCRYPTION_KEY_FILE", key)
	for name, c := range map[string]struct {
		path string
		lay  func(path string) error
		made bool
	}{
		"a new file":                 {filepath.Join(dir, "new.json"), func(string) error { return nil }, true},
		"a new file in their folder": {filepath.Join(foreign, "new.json"), func(string) error { return nil }, true},
		"a file": {filepath.Join(dir, "file.json"), func(p string) error {
			return os.WriteFile(p, []byte(content), 0o600)
		}, false},
		"a link": {filepath.Join(dir, "link.json"), func(p string) error {
			return os.Symlink(elsewhere, p)
		}, false},
		"a link in their folder": {filepath.Join(foreign, "link.json"), func(p string) error {
			return os.Symlink(elsewhere, p)
		}, false},
		"a link into nothing": {filepath.Join(dir, "nothing.json"), func(p string) error {
			return os.Symlink(elsewhere+".none", p)
		}, false},
		"a hard link": {filepath.Join(dir, "hard.json"), func(p string) error {
			return os.Link(filepath.Join(dir, "key"), p)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.lay(c.path); err != nil {
				t.Fatal(err)
			}
			exit, stderr := command(t, "key", "verify", "--local", "--nonce", "0123456789abcdef", "--out", c.path)
			if (exit == 0) != c.made || !c.made && !strings.Contains(stderr, "is there already") {
				t.Errorf("exit %d:\n%s", exit, stderr)
			}
			info, err := os.Lstat(c.path)
			if c.made && (err != nil || !info.Mode().IsRegular() || info.Size() == 0) {
				t.Errorf("it made %v, %v", info, err)
			}
		})
	}
	if left, err := os.ReadFile(elsewhere); err != nil || string(left) != content {
		t.Errorf("what the links lead to is now %q, %v", left, err)
	}
	if _, err := os.Stat(elsewhere + ".none"); err == nil {
		t.Error("a file was made where a link leads")
	}
	if text, err := os.ReadFile(filepath.Join(foreign, "new.json")); err != nil ||
		strings.Contains(string(text), "q1W2") {
		t.Errorf("the response is %s, %v", text, err)
	}
}

// TestInitLeavesNothing: an init that fails leaves nothing of its own, and what was there as it was.
func TestInitLeavesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root can make another user's folder to try
	}
	dir := t.TempDir()
	data, folder := filepath.Join(dir, "data"), filepath.Join(dir, "folder")
	if err := errors.Join(os.Mkdir(data, 0o755), os.Chown(data, 65534, 65534), os.Mkdir(folder, 0o755)); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(folder, "sallyport.yaml")
	for name, data := range map[string]string{
		"another user's data directory": data,
		"a file on the way to it":       filepath.Join(config, "data"),
	} {
		if exit, stderr := command(t, "init", "--config", config, "--data", data); exit == 0 {
			t.Errorf("%s: it succeeded:\n%s", name, stderr)
		}
		if left := names(t, folder); len(left) > 0 {
			t.Errorf("%s: it left %q", name, left)
		}
	}
	mine := filepath.Join(folder, "services.d", "mine.yaml")
	if err := errors.Join(os.Mkdir(filepath.Dir(mine), 0o755), os.WriteFile(mine, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, _ = command(t, "init", "--config", config, "--data", data)
	if left := names(t, folder); !slices.Equal(left, []string{"services.d"}) {
		t.Errorf("it left %q", left)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}
