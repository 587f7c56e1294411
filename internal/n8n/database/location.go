package database

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrCell means that a cell is not what n8n writes there. No error quotes the cell.
var ErrCell = errors.New("the cell is not in the form that n8n writes")

// Layout is how encrypted values lie in a cell.
type Layout string

// The layouts.
const (
	Whole  Layout = "the whole cell"
	List   Layout = "a comma-separated list"   // TypeORM's simple-array
	Object Layout = "strings of a JSON object" // Location.Paths names them
	// Location.Paths from the root, Location.Anywhere in any object
	Flatted Layout = "strings of execution data (flatted)"
)

// Plain is what the plaintext of a value must be.
type Plain string

// The kinds of plaintext.
const (
	PlainObject Plain = "a JSON object"
	PlainText   Plain = "printable text"
)

// Location is one column, or one row's part of a column, that holds values under the master key.
type Location struct {
	Table  string // without the prefix
	Column string
	Key    []string // the columns of the table's primary key
	// Setting is the settings.key of the only row that is meant; "" means every row.
	Setting string
	Layout  Layout
	// Paths are what holds values in a cell: keys of an object (Object), or paths from the root with dots (Flatted).
	Paths []string
	// Anywhere are keys whose values count in any object of a Flatted cell, as far as they look like ciphertext.
	Anywhere  []AnyKey
	Plain     Plain
	Since     string // the n8n that began it, as far as is known
	WrittenBy string // the file of n8n that writes it
}

// AnyKey is a key of an object.
type AnyKey struct {
	Key    string
	Beside string // another key that the object must have, by which it is known; "" for none
}

// String names the place for people: credentials_entity.data, settings[features.ldap].bindingAdminPassword.
func (p Location) String() string {
	switch {
	case p.Setting == "":
		return p.Table + "." + p.Column
	case len(p.Paths) == 1:
		return p.Table + "[" + p.Setting + "]." + p.Paths[0]
	case len(p.Paths) > 1:
		return p.Table + "[" + p.Setting + "].{" + strings.Join(p.Paths, ",") + "}"
	}
	return p.Table + "[" + p.Setting + "]"
}

// Value is one encrypted value in a cell.
type Value struct {
	Path   string // where in the cell; "" is the whole
	Stored string
}

// span is a value with where its bytes lie in the cell.
type span struct {
	Value

	start, end int
	quoted     bool // a JSON string, quotes included
}

// Values returns the values of a cell, none if it has none. What is empty is no value. Errors: ErrCell.
func (p Location) Values(cell string) ([]Value, error) {
	spans, err := p.spans(cell)
	if err != nil {
		return nil, err
	}
	values := make([]Value, len(spans))
	for i, s := range spans {
		values[i] = s.Value
	}
	return values, nil
}

// Replace returns the cell with other values, as many as Values finds and in the same order. Everything else stays as
// it is, byte for byte. Errors: ErrCell, also for a wrong number of values and for one that the cell cannot hold.
func (p Location) Replace(cell string, stored []string) (string, error) {
	spans, err := p.spans(cell)
	if err != nil {
		return "", err
	}
	if len(stored) != len(spans) {
		return "", fmt.Errorf("replacing the values of %s: %d for %d: %w", p, len(stored), len(spans), ErrCell)
	}
	var out strings.Builder
	out.Grow(len(cell))
	last := 0
	for i, s := range spans {
		out.WriteString(cell[last:s.start])
		switch {
		case stored[i] == s.Stored:
			out.WriteString(cell[s.start:s.end])
		case stored[i] == "" || !utf8.ValidString(stored[i]) || p.Layout == List && strings.Contains(stored[i], ","):
			return "", fmt.Errorf("replacing a value of %s: %w", p, ErrCell)
		case s.quoted:
			out.WriteString(quoteJSON(stored[i]))
		default:
			out.WriteString(stored[i])
		}
		last = s.end
	}
	out.WriteString(cell[last:])
	return out.String(), nil
}

// spans finds the values, in the order of their bytes.
func (p Location) spans(cell string) (spans []span, err error) {
	ok := true
	switch p.Layout {
	case Whole:
		if cell != "" {
			spans = []span{{Value{"", cell}, 0, len(cell), false}}
		}
	case List:
		spans = listSpans(cell)
	case Object:
		spans, ok = objectSpans(cell, p.Paths)
	case Flatted:
		spans, ok = flattedSpans(cell, p.Paths, p.Anywhere)
	default:
		ok = false
	}
	if !ok {
		return nil, fmt.Errorf("reading %s: %w", p, ErrCell)
	}
	return spans, nil
}

func listSpans(cell string) (spans []span) {
	start := 0
	for i, item := range strings.Split(cell, ",") {
		if item != "" {
			spans = append(spans, span{Value{fmt.Sprint(i), item}, start, start + len(item), false})
		}
		start += len(item) + 1
	}
	return spans
}

// Right reports whether plaintext could be one here. A CBC value that a wrong key "decrypts", about 1 in 256, gives
// bytes that are neither JSON nor text.
func (p Location) Right(plaintext []byte) bool {
	if p.Plain == PlainObject {
		return bytes.HasPrefix(plaintext, []byte("{")) && json.Valid(plaintext)
	}
	return utf8.Valid(plaintext) && bytes.IndexFunc(plaintext, func(r rune) bool {
		return !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t'
	}) < 0
}
