package exec_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/exec"
	"sallyport/internal/secret"
)

// TestContract holds a command that makes keys, and with it the driver, to the contract of drivers.
func TestContract(t *testing.T) { drivertest.Run(t, newWorld) }

// newWorld is a provider whose keys are the files of a folder, behind the command of TestMain.
func newWorld(t *testing.T) *drivertest.World {
	dir := t.TempDir()
	files := func() (labels []string) {
		found, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			labels = append(labels, strings.TrimPrefix(file.Name(), "key-of-"))
		}
		return labels
	}
	add := func(label string) {
		if err := os.WriteFile(filepath.Join(dir, "key-of-"+label), []byte(label), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	add("the-first")
	var before, after func() error
	s := &exec.Settings{
		Command: []string{os.Args[0], "command", dir}, Mints: true, Lists: true, Deletes: true, MaxKeys: 2,
	}
	return &drivertest.World{
		Open: func(t *testing.T) driver.Driver {
			t.Helper()
			d, err := s.Open(t.Context(), driver.Host{Environ: os.Environ(), Secret: secretOf})
			if err != nil {
				t.Fatal(err)
			}
			return &drivertest.Around{Driver: d, Before: &before, After: &after}
		},
		Current: secret.NewValue([]byte("value-of-the-first")), OldKey: "key-of-the-first",
		Accepts: func(value secret.Value) bool {
			label, ok := strings.CutPrefix(string(value.Reveal()), "value-of-")
			_, err := os.Stat(filepath.Join(dir, "key-of-"+label))
			return ok && err == nil
		},
		Keys: func() (list []driver.Key) {
			for _, label := range files() {
				list = append(list, driver.Key{ID: "key-of-" + label, Label: label})
			}
			return list
		},
		Values: func() (list []string) {
			for _, label := range files() {
				list = append(list, "value-of-"+label)
			}
			return list
		},
		Fill: func() { add("the-second") },
		Hook: func(b, a func() error) { before, after = b, a },
	}
}
