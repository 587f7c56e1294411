package document

import (
	"encoding/json"

	"github.com/goccy/go-yaml/token"

	"github.com/goccy/go-yaml/ast"

	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
)

// builder turns the parser's tree into ours. It counts nodes, so that aliases of aliases stay bounded.
type builder struct {
	file    string
	rep     *finding.Report
	anchors map[string]ast.Node
	nodes   int
	failed  bool
}

func (b *builder) fail(n ast.Node, message, hint string) *Node {
	at := place.Position{File: b.file, Line: 1, Col: 1}
	if n != nil {
		at = tokenPosition(b.file, n.GetToken())
	}
	if !b.failed {
		b.rep.Fail(at, message, hint)
	}
	b.failed = true
	return &Node{At: at}
}

func (b *builder) build(n ast.Node, depth int) *Node {
	b.nodes++
	switch {
	case b.failed:
		return &Node{}
	case b.nodes > maxNodes:
		return b.fail(n, "the file is too large once its aliases are expanded",
			"write the repeated part out, or use fewer aliases")
	case depth > maxNesting:
		return b.fail(n, textDeep, "")
	case n == nil:
		return &Node{At: place.Position{File: b.file, Line: 1, Col: 1}}
	}
	at := tokenPosition(b.file, n.GetToken())
	switch n := n.(type) {
	case *ast.NullNode:
		return &Node{At: at}
	case *ast.MappingNode:
		return b.mapping(at, n.Values, depth)
	case *ast.MappingValueNode:
		return b.mapping(at, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		out := &Node{Kind: List, At: at}
		for _, item := range n.Values {
			out.Items = append(out.Items, b.build(item, depth+1))
		}
		return out
	case *ast.AnchorNode:
		return b.anchor(n, depth)
	case *ast.AliasNode:
		return b.alias(n, depth)
	case *ast.LiteralNode:
		if n.Value == nil {
			return &Node{Kind: Scalar, At: at}
		}
		return &Node{Kind: Scalar, At: at, Text: n.Value.Value}
	case *ast.TagNode:
		return b.fail(n, "YAML tags (!…) are not used here", "leave it out; quotes make a value a string")
	case ast.ScalarNode:
		return &Node{Kind: Scalar, At: at, Text: n.GetToken().Value, Typed: typed(n)}
	}
	return b.fail(n, "this kind of YAML is not used here", "")
}

func (b *builder) anchor(n *ast.AnchorNode, depth int) *Node {
	out := b.build(n.Value, depth+1)
	if n.Name != nil {
		b.anchors[n.Name.GetToken().Value] = n.Value
	}
	return out
}

func (b *builder) alias(n *ast.AliasNode, depth int) *Node {
	if n.Value == nil {
		return b.fail(n, "an alias needs a name", "")
	}
	source, ok := b.anchors[n.Value.GetToken().Value]
	if !ok {
		return b.fail(n, "this alias has no anchor before it", "anchor the part with &NAME first")
	}
	return b.build(source, depth+1)
}

func (b *builder) mapping(at place.Position, values []*ast.MappingValueNode, depth int) *Node {
	out := &Node{Kind: Map, At: at}
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
		out.Pairs = append(out.Pairs, Pair{Key: key, Value: b.build(v.Value, depth+1)})
	}
	if len(out.Pairs) > 0 {
		out.At = out.Pairs[0].Key.At
	}
	return out
}

func (b *builder) key(n ast.MapKeyNode) (*Node, bool) {
	scalar, ok := n.(ast.ScalarNode)
	if !ok || n.GetToken() == nil {
		b.fail(n, "a key is a plain word", "")
		return nil, false
	}
	return &Node{Kind: Scalar, Text: scalar.GetToken().Value, At: tokenPosition(b.file, n.GetToken())}, true
}

// merge adds the pairs of <<: *a or <<: [*a, *b]; the first of several has precedence, and written-out keys have it
// over all.
func (b *builder) merge(into *Node, value ast.Node, depth int) {
	from := b.build(value, depth+1)
	sources := []*Node{from}
	if from.Kind == List {
		sources = from.Items
	}
	for _, s := range sources {
		if s.Kind != Map {
			b.fail(value, "<< merges maps", "")
			return
		}
		for _, p := range s.Pairs {
			into.Pairs = append(into.Pairs, Pair{Key: p.Key, Value: p.Value, Merged: true})
		}
	}
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

func tokenPosition(file string, tk *token.Token) place.Position {
	if tk == nil || tk.Position == nil {
		return place.Position{File: file, Line: 1, Col: 1}
	}
	return place.Position{File: file, Line: max(1, tk.Position.Line), Col: max(1, tk.Position.Column)}
}
