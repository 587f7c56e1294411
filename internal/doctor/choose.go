package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Choose returns the checks that are to run, in the order of the checklist, and the ids of the others. Every name is an
// id, or the beginning of ids with a star: "key-*". An error names what is no check.
func Choose(all []Check, only, skip []string) (chosen []Check, left []string, err error) {
	for _, name := range slices.Concat(only, skip) {
		if !slices.ContainsFunc(all, func(c Check) bool { return matches(name, c.ID) }) {
			return nil, nil, fmt.Errorf("there is no check %q", clean(name, maxSubject))
		}
	}
	for _, c := range all {
		is := func(name string) bool { return matches(name, c.ID) }
		if len(only) > 0 && !slices.ContainsFunc(only, is) || slices.ContainsFunc(skip, is) {
			left = append(left, c.ID)
			continue
		}
		chosen = append(chosen, c)
	}
	return chosen, left, nil
}

func matches(name, id string) bool {
	if begin, ok := strings.CutSuffix(name, "*"); ok {
		return strings.HasPrefix(id, begin)
	}
	return name == id
}
