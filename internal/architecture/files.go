package architecture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Layered are the packages whose files form layers: each uses what files below it declare, and none of them leads back
// to it. So a file can be read after those that it uses, and needs no other. A package gets its row here once it has no
// circle.
var Layered = []string{
	"app", "boundary",
	"config", "config/declare", "config/decode", "config/describe", "config/document", "config/notation",
	"config/place", "config/preset",
}

// Arrow is one file's use of what another file of its package declares: a function, method, type, constant or variable.
type Arrow struct{ From, To string }

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// Files reads the answer of `go list -export -deps -json`, and returns the arrows between the files of one package,
// each with the names that are used, sorted.
//
// An arrow is counted where an identifier is resolved (by go/types) to what another file of the package declares at the
// top level, or as a method. Fields do not count: they belong to their type. Nor do tests, and files of other
// platforms.
func Files(list []byte, importPath string) (map[Arrow][]string, error) {
	packages, err := readList(list)
	if err != nil {
		return nil, err
	}
	p, ok := packages[importPath]
	if !ok {
		return nil, fmt.Errorf("reading the list of packages: %s is not in it", importPath)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(packages[path].Export)
	})}
	pkg, err := conf.Check(importPath, fset, files, info)
	if err != nil {
		return nil, fmt.Errorf("reading the types of %s: %w", importPath, err)
	}
	return arrows(fset, pkg, info.Uses), nil
}

func readList(list []byte) (map[string]listed, error) {
	packages := make(map[string]listed)
	for decoder := json.NewDecoder(bytes.NewReader(list)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the list of packages: %w", err)
		}
		packages[p.ImportPath] = p
	}
}

func arrows(fset *token.FileSet, pkg *types.Package, uses map[*ast.Ident]types.Object) map[Arrow][]string {
	found := make(map[Arrow][]string)
	file := func(pos token.Pos) string { return filepath.Base(fset.Position(pos).Filename) }
	for id, obj := range uses {
		if obj.Pkg() != pkg || !counts(pkg, obj) {
			continue
		}
		if a := (Arrow{file(id.Pos()), file(obj.Pos())}); a.From != a.To {
			found[a] = append(found[a], obj.Name())
		}
	}
	for a, names := range found {
		slices.Sort(names)
		found[a] = slices.Compact(names)
	}
	return found
}

// counts tells what is declared at the top level of the package, and its methods.
func counts(pkg *types.Package, obj types.Object) bool {
	_, isFunc := obj.(*types.Func)
	return isFunc || obj.Parent() == pkg.Scope()
}

// Circles returns the arrows that are part of a circle: a way over other files leads back to the file that they begin
// at. They are sorted. Without one, the files of a package form layers.
func Circles(all map[Arrow][]string) []Arrow {
	next := make(map[string][]string)
	for a := range all {
		next[a.From] = append(next[a.From], a.To)
	}
	var found []Arrow
	for a := range all {
		if reaches(next, a.To, a.From, make(map[string]bool)) {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b Arrow) int { return strings.Compare(a.From+" "+a.To, b.From+" "+b.To) })
	return found
}

func reaches(next map[string][]string, from, to string, seen map[string]bool) bool {
	if from == to {
		return true
	}
	seen[from] = true
	return slices.ContainsFunc(next[from], func(one string) bool { return !seen[one] && reaches(next, one, to, seen) })
}
