// Package nesting refuses texts that are nested deeper than anything a person writes, before a parser that calls itself
// for each level reads them. A goroutine's stack that is full ends the process, and no recover helps. It is no parser.
package nesting

import (
	"errors"
	"strings"
)

// Most is how deep a text may be nested.
const Most = 1000

// ErrTooDeep means that a text is nested too deep.
var ErrTooDeep = errors.New("it is nested more than 1000 levels deep")

// Check returns ErrTooDeep where YAML or JSON could be nested deeper than Most: it counts brackets and the marks of
// YAML's blocks, tags and anchors, those in quotes and comments too. A text that is refused wrongly has a thousand
// opened brackets more than closed ones.
func Check(text []byte) error {
	brackets, marks := 0, 0
	for _, c := range text {
		switch c {
		case '[', '{':
			brackets++
		case ']', '}':
			brackets = max(0, brackets-1)
		case '\n', '\r':
			marks = 0
		}
		// Marks that open a level each, as long as nothing else stands between: "- - -", "? ? ?", "!a !b", "&a &b", "a:
		// b: c:".
		if strings.IndexByte("-?!&:", c) >= 0 {
			marks++
		}
		if brackets > Most || marks > lineMost {
			return ErrTooDeep
		}
	}
	return nil
}

// lineMost is how many marks one line may have: base64 and prose have few in a row of thousands, a PEM on one line has
// 20.
const lineMost = 20 * Most
