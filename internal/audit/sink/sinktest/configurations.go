package sinktest

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"sallyport/internal/audit/sink"
	"sallyport/internal/config"
	"sallyport/internal/secret"
	"sallyport/internal/secret/builtin"
	"sallyport/internal/testkit/archive"
)

// Kind tests what a kind of sink says of itself, by the archives of testdata/config (archive.Configurations). Secrets
// are in the store builtin, which is there without an entry.
func Kind(t *testing.T, kind sink.Kind) {
	t.Helper()
	archive.Configurations(t, config.Kinds{
		Stores: []secret.Kind{builtin.Kind()}, Sinks: []sink.Kind{kind},
	}, "opens")
}

// name is what a kind can be called: its folder is a Go package.
var name = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// Complete returns what the kinds lack, a sentence for each thing, which says what to add. tree is the folder
// internal/audit/sink.
func Complete(kinds []sink.Kind, tree fs.FS) (lacking []string) {
	seen := make(map[string]bool)
	for _, kind := range kinds {
		add := func(what string) { lacking = append(lacking, "the kind "+kind.Name+" "+what) }
		if !name.MatchString(kind.Name) || seen[kind.Name] {
			lacking = append(lacking, fmt.Sprintf("a kind is called %q, or two are: set Name to a word of a-z and "+
				"0-9, that of its folder", kind.Name))
			continue
		}
		seen[kind.Name] = true
		if kind.Summary == "" {
			add("has no summary: set Summary to one sentence, which the reference and editors show")
		}
		if !strings.HasPrefix(kind.Page, "# ") || !strings.Contains(kind.Page, "```yaml\naudit:") {
			add("has no page: write internal/audit/sink/" + kind.Name + "/kind.md, which begins with `# TITLE` and " +
				"has an example, embed it, and set Page; `make generate` puts it into docs/sinks")
		}
		if kind.Settings == nil {
			add("has no settings: set Settings to a function that returns a pointer to a struct, which may be empty")
		}
		for _, what := range folder(kind.Name, tree) {
			add(what)
		}
	}
	return lacking
}

// folder is what is not there of a kind's tests.
func folder(kind string, tree fs.FS) (lacking []string) {
	for _, need := range []struct{ pattern, what string }{
		{"opens.txtar", "has no configuration that opens: add testdata/config/opens.txtar to its folder"},
		{"[rs]*-*.txtar", "has no configuration that is refused: add testdata/config/refused-WHAT.txtar, or " +
			"shape-WHAT.txtar, to its folder"},
	} {
		found, err := fs.Glob(tree, path.Join(kind, "testdata/config", need.pattern))
		if err != nil || len(found) == 0 {
			lacking = append(lacking, need.what)
		}
	}
	files, err := fs.Glob(tree, kind+"/*_test.go")
	if err != nil {
		lacking = append(lacking, err.Error())
	}
	for _, call := range []struct{ text, what string }{
		{"sinktest.Kind(", "does not test its configurations: call sinktest.Kind in a test of its folder"},
		{"sinktest.Run(", "is not held to the contract: call sinktest.Run in a test of its folder"},
	} {
		found := false
		for _, file := range files {
			source, err := fs.ReadFile(tree, file)
			found = found || err == nil && strings.Contains(string(source), call.text)
		}
		if !found {
			lacking = append(lacking, call.what)
		}
	}
	return lacking
}
