package architecture_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNamedTestsExist: every test that ARCHITECTURE.md names for an invariant is in the tree.
func TestNamedTestsExist(t *testing.T) {
	const root = "../.."
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	there := declaredTests(t)
	rows := regexp.MustCompile(`(?m)^\| \d+ .*$`).FindAllString(string(text), -1)
	if len(rows) < 12 {
		t.Fatalf("found %d invariants", len(rows))
	}
	for _, row := range rows {
		for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`).FindAllString(row, -1) {
			if !there[name] {
				t.Errorf("%s is named in %.60q and is not in the tree", name, row)
			}
		}
	}
}

// declaredTests are the names of all tests and fuzz targets of the tree.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	there, declared := make(map[string]bool), regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range declared.FindAllSubmatch(source, -1) {
			there[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}
