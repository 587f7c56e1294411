package architecture_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/architecture"
)

// TestEveryGoroutineIsGuarded: a panic in a goroutine that nobody guards ends the process, and every workflow with it.
func TestEveryGoroutineIsGuarded(t *testing.T) {
	root, sources := filepath.Join("..", ".."), make(map[string][]byte)
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		sources[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil || len(sources) < 100 {
		t.Fatalf("found %d files: %v", len(sources), err)
	}
	found, err := architecture.Goroutines(sources)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range found {
		t.Error(one)
	}
}

// TestGoroutines holds the check itself to a made-up file.
func TestGoroutines(t *testing.T) {
	for name, c := range map[string]struct {
		file, body string
		want       string // "" for none
	}{
		"a go statement":           {"internal/app/a.go", "go f()", "a go statement"},
		"in a function":            {"internal/app/a.go", "func() { defer f(); go f() }()", "a go statement"},
		"a WaitGroup":              {"internal/app/a.go", "wg.Go(func() { f() })", "a method Go"},
		"a WaitGroup of a struct":  {"internal/app/a.go", "l.done.Go(l.flush)", "a method Go"},
		"an errgroup":              {"internal/secret/vault/a.go", "group.Go(func() error { return f() })", "a method Go"},
		"a guarded errgroup":       {"internal/secret/vault/a.go", `group.Go(guard.Func("listing", f))`, ""},
		"another package's Func":   {"internal/secret/vault/a.go", `group.Go(other.Func("listing", f))`, "a method Go"},
		"a Group":                  {"internal/app/a.go", `g.Go("working", f)`, ""},
		"the guard's Go":           {"internal/app/a.go", `guard.Go("working", f, broke)`, ""},
		"a timer":                  {"internal/app/a.go", "time.AfterFunc(d, f)", "an AfterFunc"},
		"the end of a context":     {"internal/app/a.go", "context.AfterFunc(ctx, f)", "an AfterFunc"},
		"a timer that is listed":   {"internal/boundary/egress/body.go", "time.AfterFunc(d, f)", ""},
		"no timer in a listed one": {"internal/boundary/egress/body.go", "go f()", "a go statement"},
		"the guard":                {"internal/guard/guard.go", "go f()", ""},
		"the tests' own":           {"internal/testkit/vault/server.go", "go f()", ""},
		"a name that begins so":    {"internal/guardian/a.go", "go f()", "a go statement"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := architecture.Goroutines(map[string][]byte{
				c.file: []byte("package p\nfunc _() {\n" + c.body + "\n}\n"),
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, one := range found {
				if !strings.Contains(one, "take it off the list") {
					got = append(got, one)
				}
			}
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("unexpected complaints: %q", got)
			case c.want != "" &&
				(len(got) != 1 || !strings.Contains(got[0], c.want+":") || !strings.Contains(got[0], c.file+":3 ")):
				t.Errorf("got %q, want one complaint with %q", got, c.want)
			}
		})
	}
}
