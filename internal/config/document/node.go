// Package document reads the YAML of one file into a tree in which each value has its place.
//
// Anchors, aliases and merge keys are followed; tags and further documents are refused, and so is a file that is too
// large or nested too deeply. It knows nothing of what the keys mean.
//
// Invariant: no error shows what stands in the file, and none ends the process.
package document

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"sallyport/internal/config/place"
)

// Kind is what a Node is.
type Kind int

// The kinds. Null is a value that is left out, or written as null.
const (
	Null Kind = iota
	Scalar
	Map
	List
)

// String names the kind for a message.
func (k Kind) String() string {
	return [...]string{"nothing", "a single value", "a map", "a list"}[k]
}

// Node is YAML after aliases and merge keys: what the decoder reads.
type Node struct {
	Kind  Kind
	Text  string // of a scalar, unquoted
	Typed any    // of a scalar that is written as a number, true or false: json.Number or bool
	At    place.Position
	Pairs []Pair
	Items []*Node
}

// Pair is a key of a map, and its value.
type Pair struct {
	Key    *Node
	Value  *Node
	Merged bool // came in by <<, and yields to keys that are written out
}

// Place is where an error about a key's value stands.
func (p Pair) Place() place.Position {
	if p.Value.Kind == Scalar {
		return p.Value.At
	}
	return p.Key.At
}

// TextOf is the single value at a key among pairs; "" where there is none.
func TextOf(pairs []Pair, key string) string {
	for _, p := range pairs {
		if p.Key.Text == key && p.Value.Kind == Scalar {
			return p.Value.Text
		}
	}
	return ""
}

// Has tells whether n is a map with a key.
func (n *Node) Has(key string) bool {
	if n == nil {
		return false
	}
	for _, p := range n.Pairs {
		if p.Key.Text == key {
			return true
		}
	}
	return false
}

// Of is the Node of maps, lists, texts, numbers and truth values that were read before, as those of presets. All of it
// stands at one place.
func Of(value any, at place.Position) *Node {
	n := &Node{At: at}
	switch x := value.(type) {
	case nil:
	case map[string]any:
		n.Kind = Map
		for _, name := range slices.Sorted(maps.Keys(x)) {
			key := &Node{Kind: Scalar, At: at, Text: name}
			n.Pairs = append(n.Pairs, Pair{Key: key, Value: Of(x[name], at)})
		}
	case []any:
		n.Kind = List
		for _, item := range x {
			n.Items = append(n.Items, Of(item, at))
		}
	case string:
		n.Kind, n.Text = Scalar, x
	case bool:
		n.Kind, n.Text, n.Typed = Scalar, fmt.Sprint(x), x
	default:
		n.Kind, n.Text, n.Typed = Scalar, fmt.Sprint(x), json.Number(fmt.Sprint(x))
	}
	return n
}
