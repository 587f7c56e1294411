package file_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzGet: whatever the path, what is outside the folder is not read, and what is read has that name in it.
func FuzzGet(f *testing.F) {
	for _, path := range []string{
		"in", "a/in", "../out", "a/../../out", "up/out", "/etc/passwd", "./in", "a//in",
		"..data/in", "in\x00", "\xff", "",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		top := t.TempDir()
		dir := filepath.Join(top, "dir")
		write(t, filepath.Join(top, "out"), canary)
		write(t, filepath.Join(dir, "in"), "inside")
		write(t, filepath.Join(dir, "a/in"), "inside")
		link(t, "..", filepath.Join(dir, "up"))
		for _, p := range []string{path, dir + "/" + path, dir + path} {
			value, _, err := open(t, dir).Get(t.Context(), p, "")
			switch {
			case err != nil && strings.Contains(err.Error(), canary), string(value.Reveal()) == canary:
				t.Errorf("path %q: read what is outside: %v", p, err)
			case err == nil && strings.TrimPrefix(p, dir+"/") != "in" && strings.TrimPrefix(p, dir+"/") != "a/in":
				t.Errorf("path %q: read as another name", p)
			}
		}
	})
}
