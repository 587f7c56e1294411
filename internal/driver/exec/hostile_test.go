package exec_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/exec"
	"sallyport/internal/fault"
)

// script is a command of these lines of shell.
func script(t *testing.T, lines string) exec.Settings {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rotate")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+lines+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return exec.Settings{Command: []string{file}, Mints: true, Lists: true, Deletes: true}
}

func create(t *testing.T, s exec.Settings) error {
	t.Helper()
	d, err := s.Open(t.Context(), driver.Host{Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Create(t.Context(), driver.Job{Rotation: "crm", Run: strings.Repeat("a", 20)})
	return err
}

// TestNewKeyIsNotShown: what a command that fails to create says is shown without what may be the key that it has made.
func TestNewKeyIsNotShown(t *testing.T) {
	for _, lines := range []string{
		`echo "made sk_live_4eC39HqLyjWD, but then it broke" >&2; exit 1`,
		`echo "< Authorization: Bearer c2stbGl2ZS00ZUMzOUhxTHlq" >&2; exit 3`,
	} {
		err := create(t, script(t, lines))
		if err == nil || strings.Contains(err.Error(), "4eC39H") || strings.Contains(err.Error(), "c2st") {
			t.Errorf("%s: %v", lines, err)
		}
	}
}

// TestProgramOfOthers: a program that everybody may change is refused when the configuration is read, and not run.
func TestProgramOfOthers(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	s := script(t, "touch "+ran)
	if got := drivertest.Check(&s).Failed; len(got) > 0 {
		t.Errorf("a program of ours: %v", got)
	}
	if err := os.Chmod(s.Command[0], 0o707); err != nil {
		t.Fatal(err)
	}
	if got := drivertest.Check(&s).Failed["command"]; !strings.Contains(got, "chmod o-w") {
		t.Errorf("a program of everybody's: %q", got)
	}
	err := create(t, s)
	if !errors.Is(err, driver.ErrRefused) || fault.HintOf(err) == "" {
		t.Errorf("running it: %v", err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("it was run")
	}
}
