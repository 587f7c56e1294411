package architecture

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
)

// guardPackage is the only one that begins goroutines: a panic in one that nobody guards ends the process.
const guardPackage = "internal/guard"

// unguarded lists folders that begin goroutines without it, each with its reason.
var unguarded = map[string]string{
	guardPackage + "/":            "it is the guard",
	"internal/testkit/":           "the tests' own",
	"internal/secret/storetest/":  "the tests' own",
	"internal/driver/drivertest/": "the tests' own",
}

// timers lists files whose AfterFunc cannot panic, each with what it does.
var timers = map[string]string{
	"internal/localfile/read.go":          "sets a deadline of a file",
	"internal/boundary/egress/body.go":    "notes the time-out and cancels a context",
	"internal/boundary/egress/proxy.go":   "sets a deadline of a connection",
	"internal/boundary/egress/kept.go":    "closes a connection that nobody uses",
	"internal/app/reload.go":              "cancels a context",
	"internal/secret/exec/run.go":         "cancels a context",
	"internal/secret/kubernetes/watch.go": "cancels a context",
}

// Goroutines returns one line per place at which a goroutine is begun that guard does not know of: a `go` statement, a
// method Go with one argument (sync.WaitGroup, errgroup) that is no guard.Func, or an AfterFunc. It has a line, too,
// for each exception that is not needed any more. sources are files by their paths in the module.
func Goroutines(sources map[string][]byte) ([]string, error) {
	var found []string
	needed := make(map[string]bool)
	for name, source := range sources {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for n := range ast.Preorder(file) {
			what := begins(n)
			if what == "" {
				continue
			}
			if by := excuse(name, what); by != "" {
				needed[by] = true
				continue
			}
			found = append(found,
				fmt.Sprintf("%s:%d begins a goroutine by %s: a panic in it ends the process; use %s, or list the "+
					"file with its reason",
					name, files.Position(n.Pos()).Line, what, guardPackage))
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(unguarded)), slices.Collect(maps.Keys(timers))) {
		if !needed[name] {
			found = append(found, name+" begins no goroutine without a guard: take it off the list of exceptions")
		}
	}
	slices.Sort(found)
	return found, nil
}

const afterFunc = "an AfterFunc"

// excuse is the entry of unguarded or timers that allows what is done in a file, or "".
func excuse(name, what string) string {
	for folder := range unguarded {
		if strings.HasPrefix(name, folder) {
			return folder
		}
	}
	if what == afterFunc && timers[name] != "" {
		return name
	}
	return ""
}

func begins(n ast.Node) string {
	if _, ok := n.(*ast.GoStmt); ok {
		return "a go statement"
	}
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return ""
	}
	name, ok := call.Fun.(*ast.SelectorExpr)
	switch {
	case !ok:
		return ""
	case name.Sel.Name == "AfterFunc":
		return afterFunc
	case name.Sel.Name == "Go" && len(call.Args) == 1 && !isGuardFunc(call.Args[0]):
		return "a method Go"
	}
	return ""
}

func isGuardFunc(arg ast.Expr) bool {
	call, ok := arg.(*ast.CallExpr)
	if !ok {
		return false
	}
	name, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, ok := name.X.(*ast.Ident)
	return ok && of.Name == path.Base(guardPackage) && name.Sel.Name == "Func"
}
