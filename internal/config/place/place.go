// Package place says where the values of a configuration stand, and names them for messages.
//
// A key is dotted (services.openai.limits.rate), a Path is the same taken apart, a Position is a line of a file or
// whatever else gave the value, and an Index holds the position of each key that is set.
//
// Invariant: what names a key shows none that may be a secret in the wrong place.
package place

import (
	"fmt"
	"strings"
)

// Position is where a value stands: in a file, or, with From set, elsewhere ("default", "preset openai", "--data
// flag").
type Position struct {
	File      string
	Line, Col int    // from 1; 0: the whole file
	From      string // FromDefault, FromPreset and its name, or what a person has set it by; "" is a file
}

// String is FILE:LINE, or what else gave the value.
func (p Position) String() string {
	if p.From != "" {
		return p.From
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// FromDefault and FromPreset are what Position.From says of values that nobody wrote; behind FromPreset is its name.
const (
	FromDefault = "default"
	FromPreset  = "preset "
)

// Own tells whether a person has set the value: in a file, or by a flag.
func (p Position) Own() bool {
	return p.From == "" || p.From != FromDefault && !strings.HasPrefix(p.From, FromPreset)
}
