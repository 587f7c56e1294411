package architecture_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/architecture"
)

// TestFilesFormLayers: within the packages that have come so far, no file leads back to itself over others.
func TestFilesFormLayers(t *testing.T) {
	for _, name := range architecture.Layered {
		all := arrowsOf(t, filepath.Join("..", name), "sallyport/internal/"+name)
		if len(all) == 0 {
			t.Errorf("%s has no arrows; the check would pass over an empty house", name)
		}
		for _, one := range architecture.Circles(all) {
			t.Errorf("internal/%s: %s uses %v of %s, which leads back to it: move what is shared into a file below "+
				"both",
				name, one.From, all[one], one.To)
		}
	}
}

// TestCircles holds the check itself to a made-up package.
func TestCircles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module made.up\n\ngo 1.26\n",
		"a.go":   "package up\n\nimport \"os\"\n\ntype A struct{ f int }\n\nfunc (a A) top() error { _, err := os.Stat(\"\"); b(); return err }\n",
		"b.go":   "package up\n\nfunc b() { c[int]() }\n",
		"c.go":   "package up\n\nfunc c[T any]() { d(A{}) }\n",
		"d.go":   "package up\n\nfunc d(any) {}\n\nvar n = 1\n",
		"e.go":   "package up\n\nfunc e(a A) int { _ = a.top(); _ = n; return a.f }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := arrowsOf(t, dir, "made.up")
	want := map[architecture.Arrow][]string{
		{From: "a.go", To: "b.go"}: {"b"}, {From: "b.go", To: "c.go"}: {"c"}, {From: "c.go", To: "a.go"}: {"A"},
		{From: "c.go", To: "d.go"}: {"d"}, {From: "e.go", To: "a.go"}: {"A", "top"}, {From: "e.go", To: "d.go"}: {"n"},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	circle := []architecture.Arrow{{From: "a.go", To: "b.go"}, {From: "b.go", To: "c.go"}, {From: "c.go", To: "a.go"}}
	if diff := cmp.Diff(circle, architecture.Circles(all)); diff != "" {
		t.Error(diff)
	}
}

func arrowsOf(t *testing.T, dir, importPath string) map[architecture.Arrow][]string {
	t.Helper()
	lookAt(t, dir)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps",
		"-json=ImportPath,Dir,Export,GoFiles", ".")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing %s with what it imports: %v", importPath, err)
	}
	all, err := architecture.Files(out, importPath)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
