package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// leftOutMark is how testkit.RequireTool says that something which a test needs is not on this machine, and how to get
// it.
var leftOutMark = regexp.MustCompile(`left out: (.+ is not here): (.+)`)

// leftOut counts the skips that have one cause, in one package or in the whole run.
type leftOut struct {
	cause string // "Vault is not here"
	hint  string
	tests int
}

// String is a sentence for a person.
func (l leftOut) String() string {
	if l.tests == 1 {
		return fmt.Sprintf("1 test was left out because %s: %s", l.cause, l.hint)
	}
	return fmt.Sprintf("%d tests were left out because %s: %s", l.tests, l.cause, l.hint)
}

// sortSkips parts the skips of tests whose server or program is not here from all others. The greatest count comes
// first.
func sortSkips(skips []finding) (missing []leftOut, others []finding) {
	found := map[string]*leftOut{}
	for _, s := range skips {
		m := leftOutMark.FindStringSubmatch(s.output)
		if m == nil {
			others = append(others, s)
			continue
		}
		if found[m[1]] == nil {
			found[m[1]] = &leftOut{cause: m[1], hint: m[2]}
		}
		found[m[1]].tests++
	}
	for _, l := range slices.SortedFunc(maps.Values(found), func(a, b *leftOut) int {
		return cmp.Or(cmp.Compare(b.tests, a.tests), cmp.Compare(a.cause, b.cause))
	}) {
		missing = append(missing, *l)
	}
	return missing, others
}
