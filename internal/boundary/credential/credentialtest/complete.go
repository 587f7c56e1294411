package credentialtest

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

// name is what a kind can be called.
var name = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// Complete returns what the kinds lack, a sentence for each thing, which says what to add. tree is the folder
// internal/boundary/credential.
func Complete(kinds []config.CredentialKind, tree fs.FS) (lacking []string) {
	seen, usual := make(map[string]bool), 0
	for _, kind := range kinds {
		switch {
		case !name.MatchString(kind.Name):
			lacking = append(lacking,
				fmt.Sprintf("a kind is called %q: set Name to words of a-z and 0-9, with '_' between them", kind.Name))
			continue
		case seen[kind.Name]:
			lacking = append(lacking,
				fmt.Sprintf("two kinds are called %s: give one of them another Name, and another folder", kind.Name))
			continue
		}
		seen[kind.Name] = true
		if kind.Usual {
			usual++
		}
		lacking = append(lacking, declaration(kind)...)
		lacking = append(lacking, folder(kind.Name, tree)...)
	}
	if usual != 1 {
		lacking = append(lacking,
			fmt.Sprintf("%d kinds are usual: set Usual of the one that a secret alone means", usual))
	}
	return lacking
}

// declaration is what a kind does not say of itself.
func declaration(kind config.CredentialKind) (lacking []string) {
	add := func(what string) { lacking = append(lacking, "the kind "+kind.Name+" "+what) }
	if kind.Summary == "" {
		add("has no summary: set Summary to one sentence, which the reference and editors show")
	}
	if !strings.HasPrefix(kind.Page, "# "+kind.Name+"\n") || !strings.Contains(kind.Page, "```yaml\n") {
		add("has no page: write kind.md in its folder, which begins with `# " + kind.Name +
			"` and has an example, embed it, and set Page; " +
			"`make generate` puts it into docs/credentials.md")
	}
	if kind.Settings == nil {
		add("has no settings: set Settings to a function that returns a pointer to a struct, which may be empty")
		return lacking
	}
	_, builds := kind.Settings().(credential.Building)
	_, mints := kind.Settings().(credential.Minting)
	if builds == mints {
		add("puts nothing onto requests: its settings implement credential.Building, or credential.Minting if it " +
			"obtains a token")
	}
	return lacking
}

// folder is what is not there of a kind's tests.
func folder(kind string, tree fs.FS) (lacking []string) {
	at := strings.ReplaceAll(kind, "_", "")
	add := func(what string) { lacking = append(lacking, "the kind "+kind+" "+what) }
	for _, wanted := range [][2]string{
		{
			"builds.txtar",
			"has no configuration that is built: add testdata/config/builds.txtar to its folder, with a service " +
				"called one",
		},
		{
			"[rs]*-*.txtar",
			"has no configuration that is refused: add testdata/config/refused-WHAT.txtar, or shape-WHAT.txtar, to " +
				"its folder",
		},
	} {
		if found, err := fs.Glob(tree, path.Join(at, "testdata/config", wanted[0])); err != nil || len(found) == 0 {
			add(wanted[1])
		}
	}
	for _, wanted := range [][2]string{
		{
			"credentialtest.Run(",
			"is not held to the contract of a credential: call credentialtest.Run in a test of its folder",
		},
		{"credentialtest.Kind(", "does not test its configurations: call credentialtest.Kind in a test of its folder"},
	} {
		if !calls(tree, at, wanted[0]) {
			add(wanted[1])
		}
	}
	return lacking
}

// calls tells whether a test in a kind's folder has a text in it.
func calls(tree fs.FS, folder, text string) bool {
	files, err := fs.Glob(tree, folder+"/*_test.go")
	if err != nil {
		return false
	}
	for _, file := range files {
		if source, err := fs.ReadFile(tree, file); err == nil && strings.Contains(string(source), text) {
			return true
		}
	}
	return false
}
