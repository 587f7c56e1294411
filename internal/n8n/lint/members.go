package lint

import (
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// members are the members of a mapping, with those that are merged into it, which do not replace its own; nil where n
// is none. It goes one level deep, so that no file of aliases makes it grow.
func (r *reader) members(n ast.Node) map[string]ast.Node { return r.merged(n, make(map[string]bool)) }

func (r *reader) merged(n ast.Node, seen map[string]bool) map[string]ast.Node {
	if alias, ok := n.(*ast.AliasNode); ok {
		name := alias.Value.String()
		if seen[name] {
			return nil
		}
		seen[name] = true
		return r.merged(r.anchors[name], seen)
	}
	var pairs []*ast.MappingValueNode
	switch n := bare(n).(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return nil
	}
	if len(seen) > 0 {
		r.steps += len(pairs)
	}
	if r.steps > maxMerged {
		return nil
	}
	own, from := make(map[string]ast.Node, len(pairs)), make(map[string]ast.Node)
	for _, pair := range pairs {
		key := keyOf(pair)
		if key != "<<" {
			own[key] = pair.Value
			continue
		}
		sources := []ast.Node{pair.Value}
		if list, ok := pair.Value.(*ast.SequenceNode); ok {
			sources = list.Values
		}
		for _, source := range sources {
			for name, value := range r.merged(source, seen) {
				if from[name] == nil {
					from[name] = value
				}
			}
		}
	}
	for name, value := range from {
		if _, there := own[name]; !there {
			own[name] = value
		}
	}
	return own
}

// items are the entries of a list; nil where n is none.
func (r *reader) items(n ast.Node) []ast.Node {
	if list, ok := bare(r.resolved(n)).(*ast.SequenceNode); ok {
		return list.Values
	}
	return nil
}

// text is a scalar's text, or "".
func (r *reader) text(n ast.Node) string {
	text, _ := textOf(bare(r.resolved(n)))
	return text
}

// words are the words of a command, as a line or as a list.
func (r *reader) words(n ast.Node) []string {
	words := strings.Fields(r.text(n))
	for _, one := range r.items(n) {
		words = append(words, strings.Fields(r.text(one))...)
	}
	return words
}

// lineOf is where a node begins.
func (r *reader) lineOf(n ast.Node) int {
	switch m := bare(n).(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			return line(m.Values[0])
		}
	case nil:
		return 1
	}
	return max(line(n), 1)
}

func sorted(m map[string]ast.Node) []string { return slices.Sorted(maps.Keys(m)) }
