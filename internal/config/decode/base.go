// Package decode writes the tree of a document into the structs of a declaration.
//
// It is strict: keys that the declaration has not, shapes and values that it does not allow are errors, and all of them
// are reported. Where each value stands is noted. What values say of each other is none of its business.
//
// Invariant: an error shows no value that may be a secret, and whatever an error stands in is marked as broken, so that
// later checks do not report what follows from it.
package decode

import (
	"fmt"
	"reflect"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/document"
	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
	"sallyport/internal/config/wording"
)

// Decoder writes a tree into the declaration's structs, notes where each value stands, and goes on after every error.
type Decoder struct {
	Families func(reflect.Type) declare.Family // the kinds that a struct can be of; none if it is of no kind
	Places   *place.Index                      // takes where each key stands
	Report   *finding.Report                   // takes what is wrong

	// File returns what is kept of a file name that stands at key.
	File func(key, name string) string

	// Usual returns, for a struct, of which kinds those within it are that name none, by key; nil where
	// it says nothing.
	Usual func(t reflect.Type, pairs []document.Pair, path place.Path) map[string]string

	usual map[string]string // what Usual has said last
}

// Unreader is a struct of some kind that takes the keys that are written without a kind that they would go with.
type Unreader interface {
	// LeaveUnread is called once, when all other keys are written.
	LeaveUnread(keys []string)
}

// want checks the shape. Nothing at all is an empty map: people comment out a map's last line. It is not an empty list:
// a list of rules or networks with every line commented out must not come to mean "everything".
func (d *Decoder) want(n *document.Node, kind document.Kind, path place.Path) bool {
	switch {
	case n.Kind == kind:
		return true
	case n.Kind == document.Null && kind == document.Map:
		return false
	case n.Kind == document.Null:
		d.fail(path, n.At, path.Subject()+" has no entries", emptyList)
	case kind == document.List && n.Kind == document.Scalar:
		d.fail(path, n.At, path.Subject()+" is a list", "write it in brackets, [a, b], or as lines that begin with -")
	default:
		d.fail(path, n.At, fmt.Sprintf("%s is %s, not %s", path.Subject(), kind, n.Kind), "")
	}
	return false
}

const emptyList = "name at least one, or leave the key out"

// unique drops what << brought in where the key is written out, and reports keys that are written twice.
func (d *Decoder) unique(n *document.Node, path place.Path) []document.Pair {
	own := map[string]place.Position{}
	for _, p := range n.Pairs {
		if !p.Merged {
			if first, dup := own[p.Key.Text]; dup {
				d.fail(path.Child(p.Key.Text), p.Key.At, fmt.Sprintf("the key %s%s stands twice, first in line %d",
					wording.Show(p.Key.Text), path.In(), first.Line), "keep one")
				continue
			}
			own[p.Key.Text] = p.Key.At
		}
	}
	var out []document.Pair
	seen := map[string]bool{}
	for _, p := range n.Pairs {
		if _, written := own[p.Key.Text]; seen[p.Key.Text] || (p.Merged && written) {
			continue
		}
		seen[p.Key.Text] = true
		out = append(out, p)
	}
	return out
}

// fail reports and marks everything around path as broken, so that checks do not report what follows from it.
func (d *Decoder) fail(path place.Path, at place.Position, message, hint string) {
	for i := range path {
		d.Report.Broken[path[:i+1].String()] = true
	}
	d.Report.Fail(at, message, hint)
}

// Note remembers where a key stands; a value replaces its key's position.
func (d *Decoder) Note(path place.Path, at place.Position) { d.Places.Set(path.String(), at) }
