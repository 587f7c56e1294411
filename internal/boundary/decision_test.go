package boundary

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestDecisionIsWrittenByDecideAlone: what was decided about a request cannot change while it is carried out.
func TestDecisionIsWrittenByDecideAlone(t *testing.T) {
	decided := map[string]bool{}
	for field := range reflect.TypeFor[decision]().Fields() {
		decided[field.Name] = true
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	fset := token.NewFileSet()
	for _, name := range files {
		if name == "decide.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(fset, name, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range written(file) {
			if on, ok := to.X.(*ast.Ident); ok && on.Name == "x" && decided[to.Sel.Name] && !begins(file, to) {
				t.Errorf("%s: %s is part of the decision: decide.go alone writes it",
					fset.Position(to.Pos()), to.Sel.Name)
			}
		}
	}
}

// written lists the fields that a file assigns to or takes the address of.
func written(file *ast.File) (all []*ast.SelectorExpr) {
	add := func(e ast.Expr) {
		if s, ok := e.(*ast.SelectorExpr); ok {
			all = append(all, s)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, to := range n.Lhs {
				add(to)
			}
		case *ast.IncDecStmt:
			add(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				add(n.X)
			}
		}
		return true
	})
	return all
}

// begins tells whether to stands in begin, which makes the exchange.
func begins(file *ast.File, to ast.Node) bool {
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "begin" && f.Pos() <= to.Pos() && to.End() <= f.End() {
			return true
		}
	}
	return false
}
