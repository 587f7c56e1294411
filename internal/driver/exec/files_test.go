package exec_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/exec"
	"sallyport/internal/fault"
)

// TestFiles: what decides what the command does is known by its content: the program, the script of an interpreter, and
// what the settings name. A file that the command is only handed is none of it.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script, state, table := write("rotate.sh", "#!/bin/sh\nexit 0\n"), write("state", "1"), write("table", "a")
	for name, c := range map[string]struct {
		s         exec.Settings
		counts    []string
		countsNot []string
	}{
		"a program": {exec.Settings{Command: []string{script, state}}, []string{script}, []string{state}},
		"an interpreter": {
			exec.Settings{Command: []string{"sh", "-u", script, state}},
			[]string{script},
			[]string{state},
		},
		"more files": {
			exec.Settings{Command: []string{script, table}, Files: []string{table}},
			[]string{script, table},
			[]string{state},
		},
	} {
		open := func() driver.Driver {
			t.Helper()
			d, err := c.s.Open(t.Context(), driver.Host{Environ: os.Environ()})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return d
		}
		for _, path := range append(slices.Clone(c.counts), c.countsNot...) {
			counts := slices.Contains(c.counts, path)
			before := open()
			if err := before.Test(t.Context(), driver.Job{}, driver.Made{}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(filepath.Base(path), string(text)+"# more\n")
			if got := !slices.Equal(driver.FilesOf(before), driver.FilesOf(open())); got != counts {
				t.Errorf("%s: another %s is seen: %t", name, path, got)
			}
			err = before.Test(t.Context(), driver.Job{}, driver.Made{})
			if refused := errors.Is(err, driver.ErrRefused) && fault.HintOf(err) != ""; refused != counts ||
				!counts && err != nil {
				t.Errorf("%s: a driver that was opened before %s changed: %v", name, path, err)
			}
		}
	}
}
