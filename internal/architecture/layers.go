// Package architecture is the plan of the house as a table, and the check that the code keeps to it.
//
// Imports run downward, from floor to floor; adapters import their port and nothing beside it; only internal/app names
// adapters; the tests' own packages are imported by tests alone. Only the imports of non-test files are looked at: a
// test may reach for whatever it needs. The package is used by its own test; nothing imports it.
//
// A package that stands in no row is refused: a new room gets its row here first, so that the plan stays the tree.
package architecture

import (
	"fmt"
	"slices"
	"strings"
)

const (
	module = "sallyport/"
	inside = module + "internal/"
)

// floors lists the rooms (folders right under internal, or the two programs' folders) from the bottom to the top. A
// room imports rooms of lower floors only; packages of one room import each other as they like, adapters apart.
var floors = [][]string{
	{"fault", "pause"},
	{"guard", "jsonpointer", "localfile", "nesting", "program", "schedule"},
	{"dockerapi", "kubeapi"},
	{"secret", "driver", "fleet", "n8n", "audit", "database", "config"},
	{"boundary", "rotation", "entrypoint", "masterkey", "wayout"},
	{"monitor"},
	{"doctor"},
	{"app"},
	{"cli"},
	{"cmd"},
}

// sideways lists the imports between neighbours on one floor that are allowed all the same, each with its reason.
var sideways = map[string]string{
	"* -> secret": "Value and Ref are how the whole house speaks of secrets; the package " +
		"itself imports fault alone",
	"config -> fleet":      "a fleet's settings are a part of the configuration, as a store's are",
	"config -> audit/sink": "a sink's settings are a part of the configuration, as a store's are",
	"config -> driver":     "a driver's settings are a part of the configuration, as a store's are",
	"rotation/proxytoken -> boundary": "its probe reads the gate's own answers, and sends the token in the " +
		"gate's header",
	"rotation/notify -> boundary/egress":    "its calls leave by the guarded dialer, as all do",
	"rotation/proxytoken -> boundary/token": "what it rotates are that registry's generations",
	"secret/seal -> database": "the wrapped keyset lies beside what it seals, so that a backup of the " +
		"database is whole",
}

// ports gives each family of adapters what its members may import of the module: the port, and what is listed beside
// it. Packages under a port that are no adapters are in portParts.
var ports = map[string][]string{
	"secret":     {"secret", "secret/seal", "dockerapi", "kubeapi", "guard", "localfile", "pause", "fault"},
	"fleet":      {"fleet", "secret", "dockerapi", "kubeapi", "guard", "localfile", "program", "pause", "fault"},
	"audit/sink": {"audit/sink", "audit", "secret", "guard", "localfile", "pause", "fault"},
	"driver":     {"driver", "secret", "guard", "jsonpointer", "localfile", "nesting", "program", "pause", "fault"},

	"boundary/credential": {
		"boundary/credential", "boundary/credential/derive", "boundary/credential/sign",
		"config", "config/preset", "secret",
		"jsonpointer", "fault",
	},
}

// portParts are the packages beside the adapters that belong to the port itself.
var portParts = []string{
	"secret/resolve", "secret/seal", "secret/storetest", "fleet/fleettest",
	"driver/drivertest", "audit/sink/sinktest",
	"boundary/credential/derive", "boundary/credential/derive/pool", "boundary/credential/sign",
	"boundary/credential/credentialtest",
}

// besidePort lists what a single adapter needs more than its port, each with its reason.
var besidePort = map[string]string{
	"secret/builtin -> database":        "the builtin store is Sallyport's own database",
	"secret/builtin -> database/ledger": "and who can write that database is not who may say which version is current",
}

// onlyInTests are packages, each with what lies below it, that no other package's non-test files import.
var onlyInTests = []string{
	"testkit", "architecture", "secret/storetest", "fleet/fleettest", "driver/drivertest", "audit/sink/sinktest",
	"boundary/credential/credentialtest",
}

// outside are programs that come with the source and import nothing of the product.
var outside = []string{"tools", "bench"}

// Rows lists every folder that the tables above name, by its path under internal, or under the module, sorted.
func Rows() []string {
	rows := slices.Concat(slices.Concat(floors...), portParts, onlyInTests, outside)
	for _, pairs := range []map[string]string{sideways, besidePort} {
		for pair := range pairs {
			from, to, _ := strings.Cut(pair, " -> ")
			rows = append(rows, from, to)
		}
	}
	for port, allowed := range ports {
		rows = append(append(rows, port), allowed...)
	}
	slices.Sort(rows)
	return slices.DeleteFunc(slices.Compact(rows), func(row string) bool { return row == "*" })
}

// Package is a package with what its non-test files import, both as import paths.
type Package struct {
	ImportPath string
	Imports    []string
}

// Check returns one line per import that breaks the plan: who, whom, which rule, and what to do. The lines are sorted.
func Check(packages []Package) []string {
	var broken []string
	for _, p := range packages {
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module) {
				continue
			}
			if rule := judge(place(p.ImportPath), place(imported)); rule != "" {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", p.ImportPath, imported, rule))
			}
		}
		if from := place(p.ImportPath); !known(from) {
			broken = append(broken,
				fmt.Sprintf("%s stands on no floor: give %q a row in internal/architecture, or find its room",
					p.ImportPath, room(from)))
		}
	}
	slices.Sort(broken)
	return broken
}

// place shortens an import path to what the table names: the path under internal, or under the module.
func place(importPath string) string {
	if under, ok := strings.CutPrefix(importPath, inside); ok {
		return under
	}
	return strings.TrimPrefix(importPath, module)
}

// room is the first folder of a place.
func room(place string) string {
	first, _, _ := strings.Cut(place, "/")
	return first
}

func known(place string) bool {
	return floor(place) >= 0 || slices.Contains(outside, room(place)) || forTests(place)
}

// forTests reports whether place is one of onlyInTests, or lies below one.
func forTests(place string) bool {
	return slices.ContainsFunc(onlyInTests, func(p string) bool {
		return place == p || strings.HasPrefix(place, p+"/")
	})
}

// floor is the index of the place's floor, or -1.
func floor(place string) int {
	return slices.IndexFunc(floors, func(rooms []string) bool { return slices.Contains(rooms, room(place)) })
}

// adapter reports whether place is an adapter, and of which port.
func adapter(place string) (port string, ok bool) {
	if slices.Contains(portParts, place) {
		return "", false
	}
	for port := range ports {
		if strings.HasPrefix(place, port+"/") {
			return port, true
		}
	}
	return "", false
}

// judge returns the rule that an import breaks, or "".
func judge(from, to string) string {
	switch port, isAdapter := adapter(from); {
	case slices.Contains(outside, room(from)):
		return unless(room(from) == room(to), "programs beside the product use it from outside, as its users do")
	case forTests(to):
		return unless(forTests(from), "that package is for tests: move what is needed out of it")
	case forTests(from):
		return ""
	case isAdapter:
		allowed := slices.Contains(ports[port], to) || inFamily(from, to) || besidePort[from+" -> "+to] != ""
		return unless(allowed,
			"an adapter imports its port and nothing beside it; declare what it needs as an interface or a setting")
	}
	if _, named := adapter(to); named {
		return unless(room(from) == "app", "only internal/app names an adapter; take the port's interface instead")
	}
	return judgeFloors(from, to)
}

// inFamily reports whether to is a part of the adapter from itself.
func inFamily(from, to string) bool { return strings.HasPrefix(to, from+"/") }

func judgeFloors(from, to string) string {
	above, below := floor(from), floor(to)
	switch {
	case above < 0 || below < 0, room(from) == room(to), above > below:
		return ""
	case above < below:
		return "imports run downward; let the lower package declare the interface it needs, and internal/app fill it"
	case sideways["* -> "+to] != "", sideways[from+" -> "+to] != "":
		return ""
	}
	return "these rooms stand side by side on one floor; pass what is needed in from internal/app, or list the pair " +
		"with its reason in sideways"
}

// unless is the rule, unless it is held.
func unless(held bool, rule string) string {
	if held {
		return ""
	}
	return rule
}
