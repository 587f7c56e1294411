package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFragmentsOfThisRepository holds what is under changelog/ to its shape.
func TestFragmentsOfThisRepository(t *testing.T) {
	if _, err := load("../.."); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(filepath.Join("../..", page))
	if err != nil || strings.Count(string(text), releases) != 1 {
		t.Errorf("%s needs one line %q: %v", page, releases, err)
	}
}

func TestShape(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"one sentence":         {"a.md", "added: The gate listens.\n", ""},
		"two lines":            {"a-2.md", "fixed: The gate listens.\nIt hears.\n", ""},
		"no newline":           {"a.md", "security: The gate listens.", ""},
		"an unknown kind":      {"a.md", "improved: The gate listens.\n", "want security, added"},
		"no kind":              {"a.md", "The gate listens.\n", "want security, added"},
		"nothing said":         {"a.md", "added: \n", "one paragraph"},
		"two paragraphs":       {"a.md", "added: The gate listens.\n\nIt hears.\n", "one paragraph"},
		"no whole sentence":    {"a.md", "added: a gate\n", "whole sentences"},
		"a long line":          {"a.md", "added: " + strings.Repeat("a ", 60) + ".\n", "at most 120"},
		"capitals":             {"Gate.md", "added: The gate listens.\n", "small letters"},
		"another kind of file": {"a.txt", "added: The gate listens.\n", "small letters"},
	} {
		t.Run(name, func(t *testing.T) {
			switch _, err := parse(c.file, c.text); {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestRelease(t *testing.T) {
	root := t.TempDir()
	put(t, root, "CHANGELOG.md", "# Changes\n\n"+releases+"\n## v1.0.0 (2027-01-01)\n\n### Added\n\n- All.\n")
	put(t, root, "changelog/README.md", "How.\n")
	put(t, root, "changelog/b.md", "added: B is new.\nIt is large.\n")
	put(t, root, "changelog/a.md", "added: A is new.\n")
	put(t, root, "changelog/c.md", "security: C is closed.\n")

	var out strings.Builder
	if err := run(root, nil, &out); err != nil {
		t.Fatal(err)
	}
	const next = "### Security\n\n- C is closed.\n\n### Added\n\n- A is new.\n- B is new.\n  It is large.\n\n"
	if diff := cmp.Diff(next, out.String()); diff != "" {
		t.Error(diff)
	}
	if err := run(root, []string{"release", "v1.1.0", "2027-02-01"}, &out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := "# Changes\n\n" + releases + "\n## v1.1.0 (2027-02-01)\n\n" + next +
		"## v1.0.0 (2027-01-01)\n\n### Added\n\n- All.\n"
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	left, err := os.ReadDir(filepath.Join(root, "changelog"))
	if err != nil || len(left) != 1 {
		t.Errorf("%d files are left: %v", len(left), err)
	}
	for _, args := range [][]string{
		{"release", "v1.2.0", "2027-02-02"},
		{"release", "1.2", "2027-02-02"},
		{"release", "v1.2.0", "today"},
		{"print"},
	} {
		if err := run(root, args, &out); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func put(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
