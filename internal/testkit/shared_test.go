package testkit_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport/internal/testkit"
)

// TestInstalled: the variable counts alone, and else the newest folder of the version that has the file.
func TestInstalled(t *testing.T) {
	tools := t.TempDir()
	t.Setenv("SALLYPORT_TOOLS", tools)
	t.Setenv("SALLYPORT_THING_DIR", "")
	for i, name := range []string{"thing-1.0-a", "thing-2.0-a", "thing-1.0-b", "thing-3.0-a"} {
		dir := filepath.Join(tools, name)
		if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o700); err != nil {
			t.Fatal(err)
		}
		if i < 3 {
			if err := os.WriteFile(filepath.Join(dir, "bin", "thing"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if at := time.Unix(int64(1000+i), 0); os.Chtimes(dir, at, at) != nil {
			t.Fatal("a folder has no other time")
		}
	}
	for version, want := range map[string]string{"": "thing-1.0-b", "1.0": "thing-1.0-b", "2.0": "thing-2.0-a"} {
		if got := testkit.Installed("thing", version, "bin/thing"); got != filepath.Join(tools, want) {
			t.Errorf("version %q: got %q, want %q", version, got, want)
		}
	}
	if got := testkit.Installed("thing", "3.0", "bin/thing"); got != "" {
		t.Errorf("a folder without the file: got %q", got)
	}
	chosen := filepath.Join(tools, "thing-2.0-a")
	t.Setenv("SALLYPORT_THING_DIR", chosen)
	if got := testkit.Installed("thing", "1.0", "bin/thing"); got != chosen {
		t.Errorf("with a variable: got %q, want %q", got, chosen)
	}
	t.Setenv("SALLYPORT_THING_DIR", tools)
	if got := testkit.Installed("thing", "", "bin/thing"); got != "" {
		t.Errorf("with a variable that names another folder: got %q", got)
	}
}
