package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport/internal/app"
)

// command is one in a hint: `sallyport …`.
var command = regexp.MustCompile("`sallyport ([^`]*)`")

// later are packages that no command uses yet.
var later = []string{"rehearse", "sweep"}

// TestHintsNameCommands: each command that an error of a rotation names exists, with these flags and so many arguments.
func TestHintsNameCommands(t *testing.T) {
	seen := map[string]string{}
	err := filepath.WalkDir("../rotation", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && slices.Contains(later, d.Name()) {
			return fs.SkipDir
		}
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, text := range textsOf(t, path) {
			for _, found := range command.FindAllStringSubmatch(text, -1) {
				seen[found[1]] = path
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for line, path := range seen {
		e := &env{kinds: app.Kinds()}
		cmd, rest, err := e.root().Find(strings.Fields(line))
		if err != nil || cmd.HasSubCommands() {
			t.Errorf("%s names `sallyport %s`, which is no command (%v)", path, line, err)
			continue
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("%s names `sallyport %s`: %v", path, line, err)
		} else if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
			t.Errorf("%s names `sallyport %s`: %v", path, line, err)
		}
	}
	for _, want := range []string{"rotate NAME", "rotation status NAME", "rotation resume NAME --forward"} {
		if _, there := seen[want]; !there {
			t.Errorf("the hint with `sallyport %s` was not found", want)
		}
	}
}

// textsOf are the strings in a file, as they are put together; what is no literal is NAME.
func textsOf(t *testing.T, path string) (texts []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok || !slices.ContainsFunc(operands(e), isText) {
			return true
		}
		var text strings.Builder
		for _, one := range operands(e) {
			word := "NAME"
			if isText(one) {
				word, err = strconv.Unquote(one.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
			}
			text.WriteString(strings.ReplaceAll(word, "%s", "NAME"))
		}
		texts = append(texts, text.String())
		return false
	})
	return texts
}

// operands are those of a sum of strings, from left to right.
func operands(e ast.Expr) []ast.Expr {
	if sum, ok := e.(*ast.BinaryExpr); ok && sum.Op == token.ADD {
		return append(operands(sum.X), operands(sum.Y)...)
	}
	return []ast.Expr{e}
}

func isText(e ast.Expr) bool {
	lit, ok := e.(*ast.BasicLit)
	return ok && lit.Kind == token.STRING
}
