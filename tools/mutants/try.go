package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fate is what became of a mutant.
type fate struct {
	killed bool
	why    string // when it was not killed
	output string // of the compiler or the tests
}

func (f fate) says(m *Mutant) string {
	if f.killed {
		return "killed by " + m.Test
	}
	return f.why
}

// try compiles the package's tests with the mutated file, and runs the named test.
func (m *Mutant) try(ctx context.Context) fate {
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return fate{why: "ERROR", output: err.Error()}
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := m.overlay(dir)
	if err != nil {
		return fate{why: "ERROR", output: err.Error()}
	}
	binary := filepath.Join(dir, "mutant.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, m.Package)
	if out, err := build.CombinedOutput(); err != nil {
		return fate{why: "DOES NOT BUILD", output: string(out)}
	}
	test := exec.CommandContext(ctx, binary, "-test.run", "^"+m.Test+"$", "-test.timeout", "3m")
	test.Dir = m.Package
	out, err := test.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err == nil:
		return fate{why: "SURVIVED " + m.Test}
	case !errors.As(err, &failed):
		return fate{why: "ERROR", output: err.Error()}
	case strings.Contains(string(out), "no tests to run"):
		return fate{why: "NOT TRIED", output: string(out)}
	}
	return fate{killed: true}
}

// overlay writes the mutated file and what tells the compiler of it.
func (m *Mutant) overlay(dir string) (string, error) {
	text, err := os.ReadFile(m.File)
	if err != nil {
		return "", err
	}
	original, err := filepath.Abs(m.File)
	if err != nil {
		return "", err
	}
	mutated, overlay := filepath.Join(dir, filepath.Base(m.File)), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(mutated, []byte(strings.Replace(string(text), m.Old, m.New, 1)), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutated}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return "", fmt.Errorf("writing the overlay: %w", err)
	}
	return overlay, nil
}
