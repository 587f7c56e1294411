package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// Mutant is one piece of guarding code that is taken out or turned around, and the test that has to notice.
type Mutant struct {
	Invariant int    `yaml:"invariant"` // its number in ARCHITECTURE.md
	What      string `yaml:"what"`      // what the product does not do any more, as a short phrase
	File      string `yaml:"file"`      // relative to the root
	Old       string `yaml:"old"`       // stands in the file exactly once
	New       string `yaml:"new"`       // what stands there instead; may be empty
	Package   string `yaml:"package"`   // of the test, such as ./internal/boundary/gateway
	Test      string `yaml:"test"`      // the name of a test or fuzz target; its seeds are what runs
}

// load reads the list. Each mutant in it fits the tree at root, or the error names those that do not.
func load(root, file string) ([]Mutant, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the mutants: %w", err)
	}
	var mutants []Mutant
	if err := yaml.UnmarshalWithOptions(text, &mutants, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	var errs []error
	for i := range mutants {
		if err := mutants[i].check(root); err != nil {
			errs = append(errs, fmt.Errorf("mutant %d (%s): %w", i+1, mutants[i].What, err))
		}
	}
	return mutants, errors.Join(errs...)
}

// check wants the code to be there once, and the test to exist.
func (m *Mutant) check(root string) error {
	if m.Invariant == 0 || m.What == "" || m.Old == m.New {
		return errors.New("it needs invariant, what, and two different texts old and new")
	}
	text, err := os.ReadFile(filepath.Join(root, m.File))
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), m.Old); n != 1 {
		return fmt.Errorf("its old text stands %d times in %s, want once: the code has changed, so change the mutant",
			n, m.File)
	}
	return m.findTest(root)
}

func (m *Mutant) findTest(root string) error {
	declared := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(m.Test) + `\(`)
	files, err := filepath.Glob(filepath.Join(root, m.Package, "*_test.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if declared.Match(text) {
			return nil
		}
	}
	return fmt.Errorf("there is no %s in %s", m.Test, m.Package)
}
