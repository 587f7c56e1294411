package architecture_test

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSentinelsHaveOneOwner: a name of an error is declared once in the module, so that an ErrX in a comment, a log or
// a search is one error.
func TestSentinelsHaveOneOwner(t *testing.T) {
	owners := make(map[string][]string)
	for name, text := range sources(t) {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range sentinel.FindAllStringSubmatch(text, -1) {
			owners[m[1]] = append(owners[m[1]], name)
		}
	}
	if len(owners) < 40 {
		t.Errorf("found %d sentinels", len(owners))
	}
	for _, name := range slices.Sorted(maps.Keys(owners)) {
		if where := owners[name]; len(where) > 1 {
			slices.Sort(where)
			t.Errorf("%s is declared in %s: use one of them, or name them for what each is about", name,
				strings.Join(where, " and "))
		}
	}
}

// sentinel is a declaration on the first level of a file, alone or in a block, of one name or of several.
var sentinel = regexp.MustCompile(`(?m)^(?:var |\t)(Err[A-Z]\w*)(?: error)? += `)
