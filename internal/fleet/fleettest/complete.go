package fleettest

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"sallyport/internal/fleet"
)

// name is what a kind can be called: its folder is a Go package.
var name = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// Complete returns what the kinds lack, a sentence for each thing, which says what to add. tree is the folder
// internal/fleet.
func Complete(kinds []fleet.Kind, tree fs.FS) (lacking []string) {
	var seen []string
	for _, kind := range kinds {
		switch {
		case !name.MatchString(kind.Name):
			lacking = append(lacking,
				fmt.Sprintf("a kind is called %q: set Name to a word of a-z and 0-9, that of its folder", kind.Name))
			continue
		case slices.Contains(seen, kind.Name):
			lacking = append(lacking,
				fmt.Sprintf("two kinds are called %s: give one of them another Name, and another folder", kind.Name))
			continue
		}
		seen = append(seen, kind.Name)
		lacking = append(lacking, declaration(kind)...)
		lacking = append(lacking, folder(kind.Name, tree)...)
	}
	declared, _ := fs.Glob(tree, "*/kind.go") // the pattern is right
	for _, file := range declared {
		if at := path.Dir(file); !slices.Contains(seen, at) {
			lacking = append(lacking, "the kind "+at+" is in no list: add its line to internal/app/kinds.go")
		}
	}
	return lacking
}

// declaration is what a kind does not say of itself.
func declaration(kind fleet.Kind) (lacking []string) {
	add := func(what string) { lacking = append(lacking, "the kind "+kind.Name+" "+what) }
	if kind.Summary == "" {
		add("has no summary: set Summary to one sentence, which the reference and editors show")
	}
	if !strings.HasPrefix(kind.Page, "## ") || !strings.Contains(kind.Page, "\n    kind: "+kind.Name+"\n") {
		add("has no section: write internal/fleet/" + kind.Name + "/kind.md, which begins with `## TITLE` and has an " +
			"example with `kind: " + kind.Name + "`, embed it, and set Page; `make generate` puts it into " +
			"docs/fleet.md")
	}
	if kind.Settings == nil {
		add("has no settings: set Settings to a function that returns a pointer to a struct, which may be empty")
	}
	return lacking
}

// folder is what is not there of a kind's tests.
func folder(kind string, tree fs.FS) (lacking []string) {
	add := func(what string) { lacking = append(lacking, "the kind "+kind+" "+what) }
	for pattern, what := range map[string]string{
		"opens.txtar":    "has no configuration that opens: add testdata/config/opens.txtar, with a fleet called one",
		"refused*.txtar": "has no configuration that is refused: add testdata/config/refused-WHAT.txtar to its folder",
		"shape-*.txtar":  "has no configuration of a wrong shape: add testdata/config/shape-WHAT.txtar to its folder",
	} {
		if found, err := fs.Glob(tree, path.Join(kind, "testdata/config", pattern)); err != nil || len(found) == 0 {
			add(what)
		}
	}
	for call, what := range map[string]string{
		"fleettest.Run(":  "is not held to the contract of an orchestrator: call fleettest.Run in a test of its folder",
		"fleettest.Kind(": "does not test its configurations: call fleettest.Kind in a test of its folder",
	} {
		if !calls(tree, kind, call) {
			add(what)
		}
	}
	return lacking
}

// calls tells whether a test in a kind's folder has a text in it.
func calls(tree fs.FS, kind, text string) bool {
	files, err := fs.Glob(tree, kind+"/*_test.go")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(files, func(file string) bool {
		source, err := fs.ReadFile(tree, file)
		return err == nil && strings.Contains(string(source), text)
	})
}
