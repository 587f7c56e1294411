package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"sallyport/internal/nesting"
)

// Bounds of one file. The YAML parser's time grows with the square of the lines, and its stack with the nesting.
const (
	maxBytes   = 4 << 20
	maxLines   = 20_000
	maxLine    = 16 << 10
	maxNesting = 100
	maxNodes   = 200_000 // after aliases are expanded
)

type nodeKind int

const (
	nullNode nodeKind = iota
	scalarNode
	mapNode
	listNode
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "a single value", "a map", "a list"}[k]
}

// node is YAML after aliases and merge keys: what the decoder reads.
type node struct {
	kind  nodeKind
	text  string // of a scalar, unquoted
	typed any    // of a scalar that is written as a number, true or false: json.Number or bool
	at    position
	pairs []pair
	items []*node
}

type pair struct {
	key    *node
	value  *node
	merged bool // came in by <<, and yields to keys that are written out
}

// parseSource turns a file into its tree; nil when it holds nothing. When it cannot, ok is false and rep has the error.
// A defect of the parser must not end the process that reloads, so a panic over this file is an error like the others.
func parseSource(file string, src []byte, rep *report) (root *node, ok bool) {
	if !checkText(file, src, rep) {
		return nil, false
	}
	defer func() {
		if recover() != nil {
			rep.failSyntax(file, errParser)
			root, ok = nil, false
		}
	}()
	if err := nesting.Check(src); err != nil {
		rep.failSyntax(file, err)
		return nil, false
	}
	tree, err := parser.ParseBytes(bytes.TrimPrefix(src, []byte("\ufeff")), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		rep.failSyntax(file, err)
		return nil, false
	}
	docs := slices.DeleteFunc(tree.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch len(docs) {
	case 0:
		return nil, true
	case 1:
	default:
		rep.fail(tokenPosition(file, docs[1].GetToken()), "a second document begins here",
			"keep one document per file; services.d/*.yaml takes further files")
		return nil, false
	}
	b := &builder{file: file, rep: rep, anchors: map[string]ast.Node{}}
	root = b.build(docs[0].Body, 0)
	if b.failed || root.kind == nullNode {
		return nil, !b.failed
	}
	return root, true
}

// checkText refuses what no parser should see.
func checkText(file string, src []byte, rep *report) bool {
	top := position{file: file, line: 1, col: 1}
	if len(src) > maxBytes {
		rep.fail(top, "the file is larger than 4 MiB", "split it over services.d/*.yaml")
		return false
	}
	if bytes.Count(src, []byte("\n")) >= maxLines {
		rep.fail(top, fmt.Sprintf("the file has more than %d lines", maxLines), "split it over services.d/*.yaml")
		return false
	}
	depth, number := 0, 0
	for line := range bytes.Lines(src) {
		number++
		at := position{file: file, line: number, col: 1}
		if problem, col := checkLine(line, &depth); problem != "" {
			at.col = col
			rep.fail(at, problem, hintOf(problem))
			return false
		}
	}
	return true
}

const (
	textNotUTF8 = "the file is not valid UTF-8"
	textControl = "there is a control character here"
	textTab     = "there is a tab in the indentation"
	textLong    = "the line is longer than 16 KiB"
	textDeep    = "the nesting is deeper than 100 levels"
)

func hintOf(problem string) string {
	switch problem {
	case textNotUTF8:
		return "save it as UTF-8"
	case textTab:
		return "YAML is indented by blanks"
	}
	return ""
}

// checkLine returns what is wrong with a line, and the column. Depth counts brackets roughly, also those inside
// strings.
func checkLine(line []byte, depth *int) (problem string, col int) {
	switch {
	case len(line) > maxLine:
		return textLong, 1
	case !utf8.Valid(line):
		return textNotUTF8, firstInvalid(line)
	}
	indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
	if i := bytes.IndexByte(indent, '\t'); i >= 0 && len(bytes.TrimSpace(line)) > 0 {
		return textTab, i + 1
	}
	marks := 0
	for i, c := range line {
		switch c {
		case '[', '{':
			*depth++
		case ']', '}':
			*depth = max(0, *depth-1)
		case '-', '?', '!', '&':
			marks++
		case '\t', '\n', '\r':
		default:
			if c < ' ' || c == 0x7f {
				return textControl, utf8.RuneCount(line[:i]) + 1
			}
		}
		if *depth > maxNesting || (marks > maxNesting && isIndicators(line)) {
			return textDeep, utf8.RuneCount(line[:i]) + 1
		}
	}
	return "", 0
}

// isIndicators tells a line that begins with nothing but nested block indicators ("- - - - …").
func isIndicators(line []byte) bool {
	return len(line) > maxNesting && len(bytes.Trim(line[:maxNesting], "-?!& ")) == 0
}

func firstInvalid(line []byte) int {
	col := 1
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		if r == utf8.RuneError && n == 1 {
			return col
		}
		line, col = line[n:], col+1
	}
	return 1
}

var errParser = errors.New("the YAML parser cannot read this file")

// failSyntax takes the parser's message and position; never its excerpt of the source, which may hold anything.
func (r *report) failSyntax(file string, err error) {
	var syntax yaml.Error
	if !errors.As(err, &syntax) {
		r.fail(position{file: file, line: 1, col: 1}, errParser.Error(),
			"look for unusual indentation, quotes or brackets")
		return
	}
	message, _, quoted := strings.Cut(syntax.GetMessage(), `"`)
	if quoted {
		message = strings.TrimSpace(message) + " …"
	}
	r.fail(tokenPosition(file, syntax.GetToken()), "YAML: "+message, "")
}

func tokenPosition(file string, tk *token.Token) position {
	if tk == nil || tk.Position == nil {
		return position{file: file, line: 1, col: 1}
	}
	return position{file: file, line: max(1, tk.Position.Line), col: max(1, tk.Position.Column)}
}

// builder turns the parser's tree into ours. It counts nodes, so that aliases of aliases stay bounded.
type builder struct {
	file    string
	rep     *report
	anchors map[string]ast.Node
	nodes   int
	failed  bool
}

func (b *builder) fail(n ast.Node, message, hint string) *node {
	at := position{file: b.file, line: 1, col: 1}
	if n != nil {
		at = tokenPosition(b.file, n.GetToken())
	}
	if !b.failed {
		b.rep.fail(at, message, hint)
	}
	b.failed = true
	return &node{at: at}
}

func (b *builder) build(n ast.Node, depth int) *node {
	b.nodes++
	switch {
	case b.failed:
		return &node{}
	case b.nodes > maxNodes:
		return b.fail(n, "the file is too large once its aliases are expanded",
			"write the repeated part out, or use fewer aliases")
	case depth > maxNesting:
		return b.fail(n, textDeep, "")
	case n == nil:
		return &node{at: position{file: b.file, line: 1, col: 1}}
	}
	at := tokenPosition(b.file, n.GetToken())
	switch n := n.(type) {
	case *ast.NullNode:
		return &node{at: at}
	case *ast.MappingNode:
		return b.mapping(at, n.Values, depth)
	case *ast.MappingValueNode:
		return b.mapping(at, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		out := &node{kind: listNode, at: at}
		for _, item := range n.Values {
			out.items = append(out.items, b.build(item, depth+1))
		}
		return out
	case *ast.AnchorNode:
		return b.anchor(n, depth)
	case *ast.AliasNode:
		return b.alias(n, depth)
	case *ast.LiteralNode:
		if n.Value == nil {
			return &node{kind: scalarNode, at: at}
		}
		return &node{kind: scalarNode, at: at, text: n.Value.Value}
	case *ast.TagNode:
		return b.fail(n, "YAML tags (!…) are not used here", "leave it out; quotes make a value a string")
	case ast.ScalarNode:
		return &node{kind: scalarNode, at: at, text: n.GetToken().Value, typed: typed(n)}
	}
	return b.fail(n, "this kind of YAML is not used here", "")
}

// typed returns what JSON makes of a number or a truth value; nil for what stays text, such as numbers that JSON has
// not.
func typed(n ast.ScalarNode) any {
	text := n.GetToken().Value
	switch n := n.(type) {
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode, *ast.FloatNode:
		if json.Valid([]byte(text)) {
			return json.Number(text)
		}
	}
	return nil
}

func (b *builder) anchor(n *ast.AnchorNode, depth int) *node {
	out := b.build(n.Value, depth+1)
	if n.Name != nil {
		b.anchors[n.Name.GetToken().Value] = n.Value
	}
	return out
}

func (b *builder) alias(n *ast.AliasNode, depth int) *node {
	if n.Value == nil {
		return b.fail(n, "an alias needs a name", "")
	}
	source, ok := b.anchors[n.Value.GetToken().Value]
	if !ok {
		return b.fail(n, "this alias has no anchor before it", "anchor the part with &NAME first")
	}
	return b.build(source, depth+1)
}

func (b *builder) mapping(at position, values []*ast.MappingValueNode, depth int) *node {
	out := &node{kind: mapNode, at: at}
	for _, v := range values {
		if b.failed {
			break
		}
		if _, ok := v.Key.(*ast.MergeKeyNode); ok {
			b.merge(out, v.Value, depth)
			continue
		}
		key, ok := b.key(v.Key)
		if !ok {
			continue
		}
		out.pairs = append(out.pairs, pair{key: key, value: b.build(v.Value, depth+1)})
	}
	if len(out.pairs) > 0 {
		out.at = out.pairs[0].key.at
	}
	return out
}

func (b *builder) key(n ast.MapKeyNode) (*node, bool) {
	scalar, ok := n.(ast.ScalarNode)
	if !ok || n.GetToken() == nil {
		b.fail(n, "a key is a plain word", "")
		return nil, false
	}
	return &node{kind: scalarNode, text: scalar.GetToken().Value, at: tokenPosition(b.file, n.GetToken())}, true
}

// merge adds the pairs of <<: *a or <<: [*a, *b]; the first of several has precedence, and written-out keys have it
// over all.
func (b *builder) merge(into *node, value ast.Node, depth int) {
	from := b.build(value, depth+1)
	sources := []*node{from}
	if from.kind == listNode {
		sources = from.items
	}
	for _, s := range sources {
		if s.kind != mapNode {
			b.fail(value, "<< merges maps", "")
			return
		}
		for _, p := range s.pairs {
			into.pairs = append(into.pairs, pair{key: p.key, value: p.value, merged: true})
		}
	}
}
