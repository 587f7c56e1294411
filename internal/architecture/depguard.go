package architecture

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:generate go test -count=1 -run ^TestLinterKnowsThePlan$ -update .

// Depguard is the plan as rules of the linter depguard, so that an editor marks a wrong import as it is written: YAML,
// indented for linters.settings.depguard.rules of .golangci.yml. It refuses less than Check: an adapter that names
// another is told by Check alone. Whoever else names one is told by both.
func Depguard() string {
	var text strings.Builder
	tests := []string{"**"}
	for _, place := range onlyInTests {
		tests = append(tests, "!"+folder(place))
	}
	fmt.Fprintf(&text, "        for-tests-alone:\n          files: [%s]\n          deny:\n",
		list(append(tests, notInTests)))
	for _, place := range onlyInTests {
		fmt.Fprintf(&text, "            - {pkg: %s, desc: that package is for tests}\n", importPath(place))
	}
	text.WriteString(kindRules(tests[1:]))
	for _, group := range groups() {
		name := strings.NewReplacer("/", "-", "*", "adapters").Replace(group)
		fmt.Fprintf(&text, "        imports-of-%s:\n          list-mode: lax\n          files: [%s]\n", name,
			list(append(files(group), notInTests)))
		fmt.Fprintf(&text, "          allow: [%s]\n", list(allowed(group)))
		fmt.Fprintf(&text, "          deny: [{pkg: %s, desc: the table in internal/architecture does not allow it}]\n",
			module)
	}
	return text.String()
}

// kindRules are the rules that only internal/app names a kind, which is an adapter of one of the ports: for what lies
// outside of the ports' folders, and for the packages within them that are no adapters. exempt are patterns of files.
func kindRules(exempt []string) string {
	outsidePorts := append([]string{"**", "!" + folder("app")}, exempt...)
	var parts, allow, deny []string
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		outsidePorts = append(outsidePorts, "!"+strings.TrimSuffix(folder(port), "**")+"*/**")
		allow = append(allow, importPath(port)+"$")
		deny = append(deny, fmt.Sprintf("{pkg: %s/, desc: only internal/app names a kind; take the port's interface}",
			importPath(port)))
	}
	for _, part := range portParts {
		if forTests(part) {
			allow = append(allow, importPath(part))
			continue
		}
		parts = append(parts, folder(part))
		if !slices.ContainsFunc(portParts, func(other string) bool { return strings.HasPrefix(part, other+"/") }) {
			allow = append(allow, importPath(part))
		}
	}
	var text strings.Builder
	for _, rule := range []struct {
		name  string
		files []string
	}{{"kinds-in-app-alone", outsidePorts}, {"kinds-not-in-ports", parts}} {
		fmt.Fprintf(&text, "        %s:\n          list-mode: lax\n          files: [%s]\n", rule.name,
			list(append(rule.files, notInTests)))
		fmt.Fprintf(&text, "          allow: [%s]\n          deny:\n            - %s\n", list(allow),
			strings.Join(deny, "\n            - "))
	}
	return text.String()
}

const notInTests = "!**/*_test.go"

// groups lists whose imports are judged alike: each room, a port apart from its adapters ("secret/*"), each package
// with an exception of its own, and the programs beside the product.
func groups() []string {
	var all []string
	for _, r := range slices.Concat(floors...) {
		all = append(all, r)
		if _, family := ports[r]; family {
			all = append(all, r+"/*")
		}
	}
	return slices.Concat(all, apart(), outside)
}

// apart lists the packages within rooms that may import what their neighbours may not.
func apart() []string {
	var all []string
	for _, pair := range slices.Concat(slices.Collect(maps.Keys(sideways)), slices.Collect(maps.Keys(besidePort))) {
		// a room's exceptions are in its own group
		if from, _, _ := strings.Cut(pair, " -> "); strings.Contains(from, "/") {
			all = append(all, from)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// allowed lists what a group may import of the module: import paths with all below them, or, with $, alone. The linter
// takes the longer of what allows and what denies, and looks for it at one place of each sorted list: no path of one
// kind may lie below another of its own.
func allowed(from string) []string {
	paths := []string{importPath(room(from))}
	for _, to := range slices.Concat(floors...) {
		_, family := ports[to]
		switch {
		case to == room(from) || judge(from, to) != "":
		case !family || judge(from, to+"/*") == "":
			paths = append(paths, importPath(to))
		default:
			paths = append(paths, importPath(to)+"$")
			for _, part := range portParts {
				if room(part) == to && judge(from, part) == "" {
					paths = append(paths, importPath(part))
				}
			}
		}
	}
	for _, pair := range slices.Sorted(maps.Keys(sideways)) { // a single package of a room that is shut otherwise
		one, to, _ := strings.Cut(pair, " -> ")
		if one == from && to != room(to) && judge(from, room(to)) != "" {
			paths = append(paths, importPath(to))
		}
	}
	return paths
}

// files are the patterns of a group's files.
func files(group string) []string {
	port, adapters := strings.CutSuffix(group, "/*")
	if _, family := ports[port]; !family {
		patterns := []string{folder(group)}
		for _, place := range slices.Concat(onlyInTests, apart()) {
			if room(place) == group && place != group {
				patterns = append(patterns, "!"+folder(place))
			}
		}
		return patterns
	}
	own := slices.DeleteFunc(slices.Concat(portParts, apart()), func(place string) bool { return room(place) != port })
	slices.Sort(own)
	patterns := []string{"**/internal/" + port + "/*.go"}
	if adapters {
		patterns[0] = "**/internal/" + port + "/*/**"
	}
	for _, place := range slices.Compact(own) {
		switch {
		case adapters:
			patterns = append(patterns, "!"+folder(place))
		case slices.Contains(portParts, place) && !slices.Contains(apart(), place) && !forTests(place):
			patterns = append(patterns, folder(place))
		}
	}
	return patterns
}

// folder is the pattern of all files of a place.
func folder(place string) string {
	return "**/" + strings.TrimPrefix(importPath(place), module) + "/**"
}

// importPath is the opposite of place.
func importPath(place string) string {
	if place == "cmd" || slices.Contains(outside, place) {
		return module + place
	}
	return inside + place
}

// list is a YAML list's inside, over several lines where one is too long.
func list(items []string) string {
	var text strings.Builder
	width := 0
	for i, item := range items {
		if i > 0 {
			text.WriteString(", ")
		}
		if width += len(item) + 4; width > 90 {
			text.WriteString("\n            ")
			width = len(item)
		}
		text.WriteString(`"` + item + `"`)
	}
	return strings.ReplaceAll(text.String(), ", \n", ",\n")
}
