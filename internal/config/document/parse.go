package document

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
	"sallyport/internal/nesting"
)

// Parse turns a file into its tree; nil when it holds nothing. When it cannot, ok is false and rep has the error.
// A defect of the parser must not end the process that reloads, so a panic over this file is an error like the others.
func Parse(file string, src []byte, rep *finding.Report) (root *Node, ok bool) {
	if !checkText(file, src, rep) {
		return nil, false
	}
	defer func() {
		if recover() != nil {
			failSyntax(rep, file, errParser)
			root, ok = nil, false
		}
	}()
	if err := nesting.Check(src); err != nil {
		failSyntax(rep, file, err)
		return nil, false
	}
	tree, err := parser.ParseBytes(bytes.TrimPrefix(src, []byte("\ufeff")), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		failSyntax(rep, file, err)
		return nil, false
	}
	docs := slices.DeleteFunc(tree.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch len(docs) {
	case 0:
		return nil, true
	case 1:
	default:
		rep.Fail(tokenPosition(file, docs[1].GetToken()), "a second document begins here",
			"keep one document per file; services.d/*.yaml takes further files")
		return nil, false
	}
	b := &builder{file: file, rep: rep, anchors: map[string]ast.Node{}}
	root = b.build(docs[0].Body, 0)
	if b.failed || root.Kind == Null {
		return nil, !b.failed
	}
	return root, true
}

var errParser = errors.New("the YAML parser cannot read this file")

// failSyntax takes the parser's message and position; never its excerpt of the source, which may hold anything.
func failSyntax(rep *finding.Report, file string, err error) {
	var syntax yaml.Error
	if !errors.As(err, &syntax) {
		rep.Fail(place.Position{File: file, Line: 1, Col: 1}, errParser.Error(),
			"look for unusual indentation, quotes or brackets")
		return
	}
	message, _, quoted := strings.Cut(syntax.GetMessage(), `"`)
	if quoted {
		message = strings.TrimSpace(message) + " …"
	}
	rep.Fail(tokenPosition(file, syntax.GetToken()), "YAML: "+message, "")
}
