// Package jsonpointer reads JSON pointers (RFC 6901) to a member of a document or an element of a list in it. How a
// document is followed is the business of whoever has it: as values, as bytes, or as a stream that is read no further
// than it must be.
//
// Invariant: a pointer that Parse takes has one meaning for everybody.
package jsonpointer

import (
	"errors"
	"strconv"
	"strings"
)

// Deepest is how many steps a pointer has at the most.
const Deepest = 30

// Pointer is a pointer's steps: names of members, or indices of lists. The nil Pointer is none.
type Pointer []string

// What may be wrong with a pointer. Each goes on behind what it is about: `lifetime is not …`.
var (
	ErrSlash        = errors.New("is not a JSON pointer, since it does not begin with a slash")
	ErrTilde        = errors.New("has a ~ that is neither ~0 nor ~1 (RFC 6901)")
	ErrTooManySteps = errors.New("is a JSON pointer deeper than " + strconv.Itoa(Deepest))
)

var unescape = strings.NewReplacer("~0", "~", "~1", "/")

// Parse takes a pointer apart. The pointer to the whole document, "", is refused.
func Parse(text string) (Pointer, error) {
	rest, slash := strings.CutPrefix(text, "/")
	steps := strings.Split(rest, "/")
	switch {
	case !slash:
		return nil, ErrSlash
	case len(steps) > Deepest:
		return nil, ErrTooManySteps
	}
	for i, step := range steps {
		if strings.Count(step, "~") != strings.Count(step, "~0")+strings.Count(step, "~1") {
			return nil, ErrTilde
		}
		steps[i] = unescape.Replace(step)
	}
	return steps, nil
}

// Index reads a step as the index of a list: digits, without further zeros in front.
func Index(step string) (int, bool) {
	i, err := strconv.Atoi(step)
	return i, err == nil && i >= 0 && strconv.Itoa(i) == step
}

// In follows the pointer into a document as encoding/json reads it into an empty interface.
func (p Pointer) In(doc any) (found any, ok bool) {
	for _, step := range p {
		switch x := doc.(type) {
		case map[string]any:
			doc, ok = x[step]
		case []any:
			var i int
			if i, ok = Index(step); ok && i < len(x) {
				doc = x[i]
			} else {
				ok = false
			}
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	return doc, true
}
