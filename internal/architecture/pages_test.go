package architecture_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryModuleHasItsReason: ADR 0001 has one row for each module that go.mod requires directly, and no row for one
// that it does not.
func TestEveryModuleHasItsReason(t *testing.T) {
	reasons := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| (`.+) \\| (.+) \\| .*\\|$").FindAllStringSubmatch(page(t,
		"docs/adr/0001-dependencies.md"), -1) {
		for _, module := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			reasons[module[1]] = strings.TrimSpace(row[2])
		}
	}
	direct := directModules(t)
	for _, module := range direct {
		if reasons[module] == "" {
			t.Errorf("docs/adr/0001-dependencies.md does not say why go.mod requires %s", module)
		}
		delete(reasons, module)
	}
	for _, module := range slices.Sorted(maps.Keys(reasons)) {
		t.Errorf("docs/adr/0001-dependencies.md has a reason for %s, which go.mod does not require directly: take it "+
			"off", module)
	}
}

func directModules(t *testing.T) []string {
	t.Helper()
	page(t, "go.mod") // so that the go command runs this test again when it changes
	command := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	command.Dir = "../.."
	out, err := command.Output()
	if err != nil {
		t.Fatalf("reading go.mod: %v", err)
	}
	var file struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &file); err != nil {
		t.Fatalf("reading go.mod: %v", err)
	}
	var direct []string
	for _, module := range file.Require {
		if !module.Indirect {
			direct = append(direct, module.Path)
		}
	}
	if len(direct) < 10 {
		t.Fatalf("found %d modules", len(direct))
	}
	return direct
}

// TestTheTreeIsDrawn: each package under internal has its line in the tree of ARCHITECTURE.md, and each line its
// package.
func TestTheTreeIsDrawn(t *testing.T) {
	_, rest, _ := strings.Cut(page(t, "ARCHITECTURE.md"), "\ninternal/\n")
	tree, _, _ := strings.Cut(rest, "\n```")
	drawn := make(map[string]bool)
	var above []string // the folders in which the line stands
	for line := range strings.Lines(tree) {
		name, about, _ := strings.Cut(strings.TrimSpace(line), " ")
		depth := (len(line)-len(strings.TrimLeft(line, " ")))/2 - 1
		if depth < 0 {
			break // what stands beside internal
		}
		if depth > len(above) {
			t.Fatalf("ARCHITECTURE.md: %q is indented wrong", line)
		}
		above = append(above[:depth], name)
		if strings.TrimSpace(about) == "" {
			t.Errorf("ARCHITECTURE.md says nothing about %s", path.Join(above...))
		}
		drawn[path.Join(above...)] = true
	}
	for _, name := range packages(t) {
		if !drawn[name] {
			t.Errorf("internal/%s has no line in the tree of ARCHITECTURE.md", name)
		}
		delete(drawn, name)
	}
	for _, name := range slices.Sorted(maps.Keys(drawn)) {
		t.Errorf("ARCHITECTURE.md draws internal/%s, in which there is no Go package", name)
	}
}

// packages lists the folders under internal that hold Go files. The kinds of a family, which have a file kind.go, are
// one.
func packages(t *testing.T) []string {
	t.Helper()
	const root = "../../internal"
	found := make(map[string]bool)
	err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, ".go") && !strings.Contains(filepath.ToSlash(file), "/testdata/") {
			name := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(file), filepath.FromSlash(root+"/")))
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), "kind.go")); err == nil && path.Dir(name) != "." {
				name = path.Join(path.Dir(name), "KIND")
			}
			found[name] = true
		}
		return err
	})
	if err != nil || len(found) < 20 {
		t.Fatalf("found %d packages: %v", len(found), err)
	}
	return slices.Sorted(maps.Keys(found))
}

// TestContributorsFindWhatIsNamed: the files, the tests and the links of the pages for contributors are in the tree.
func TestContributorsFindWhatIsNamed(t *testing.T) {
	declared := declaredTests(t)
	for _, name := range []string{
		"CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md",
		".github/pull_request_template.md",
	} {
		text := page(t, name)
		for _, test := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(text, -1) {
			if !declared[test] {
				t.Errorf("%s names %s, which is not in the tree", name, test)
			}
		}
		for _, file := range regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)|(?:^|[\s`+"`"+
			`])((?:internal|tools|docs|changelog)/[\w/.-]*\w)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("../..", file[1]+file[2])); err != nil {
				t.Errorf("%s names %s, which is not in the tree", name, file[1]+file[2])
			}
		}
	}
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
