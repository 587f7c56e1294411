package database

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// The functions here walk JSON that json.Valid has passed, by offsets, so that what is not replaced keeps its bytes.
// They are handed the offset of a value's first byte.

// quoteJSON writes a string as JSON.stringify does.
func quoteJSON(s string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // of a string, into memory
	return strings.TrimSuffix(out.String(), "\n")
}

// unquoteJSON reads the JSON string cell[start:end].
func unquoteJSON(cell string, start, end int) string {
	if raw := cell[start+1 : end-1]; strings.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var s string
	_ = json.Unmarshal([]byte(cell[start:end]), &s) // valid
	return s
}

func skipSpace(cell string, i int) int {
	for i < len(cell) && strings.IndexByte(" \t\r\n", cell[i]) >= 0 {
		i++
	}
	return i
}

// skipString returns the offset behind the string that begins at i.
func skipString(cell string, i int) int {
	for i++; ; i++ {
		next := strings.IndexAny(cell[i:], `"\`)
		i += next
		if cell[i] == '"' {
			return i + 1
		}
		i++
	}
}

// skipValue returns the offset behind the value that begins at i.
func skipValue(cell string, i int) int {
	switch cell[i] {
	case '"':
		return skipString(cell, i)
	case '{', '[':
		return skipNested(cell, i)
	}
	for i < len(cell) && strings.IndexByte(",]} \t\r\n", cell[i]) < 0 {
		i++
	}
	return i
}

func skipNested(cell string, i int) int {
	for depth := 0; ; {
		switch cell[i] {
		case '"':
			i = skipString(cell, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if i++; depth == 0 {
			return i
		}
	}
}

// member is a member of an object, or an item of an array (without a key).
type member struct {
	key        string
	start, end int // of the value
}

// eachMember visits what the object or array at i holds.
func eachMember(cell string, i int, visit func(member)) {
	keyed := cell[i] == '{'
	for i = skipSpace(cell, i+1); cell[i] != '}' && cell[i] != ']'; i = skipSpace(cell, i) {
		var m member
		if cell[i] == ',' {
			i = skipSpace(cell, i+1)
		}
		if keyed {
			end := skipString(cell, i)
			m.key = unquoteJSON(cell, i, end)
			i = skipSpace(cell, skipSpace(cell, end)+1) // the colon
		}
		m.start, m.end = i, skipValue(cell, i)
		visit(m)
		i = m.end
	}
}

// objectSpans finds the strings under the keys of the object that the cell is. Null is no value; what else is no
// string, or stands there twice, is not what n8n writes.
func objectSpans(cell string, keys []string) (spans []span, ok bool) {
	root := skipSpace(cell, 0)
	if !json.Valid([]byte(cell)) || cell[root] != '{' {
		return nil, false
	}
	ok = true
	seen := make(map[string]bool, len(keys))
	eachMember(cell, root, func(m member) {
		if !slices.Contains(keys, m.key) {
			return
		}
		switch text := cell[m.start] == '"'; {
		case seen[m.key], !text && cell[m.start:m.end] != "null":
			ok = false
		case text && m.end-m.start > 2:
			spans = append(spans, span{Value{m.key, unquoteJSON(cell, m.start, m.end)}, m.start, m.end, true})
		}
		seen[m.key] = true
	})
	return spans, ok
}
