package database

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/n8n/cipher"
)

// flatted is execution data as the library of that name writes it: a JSON array whose first item is the root; inside of
// an item's object or array, a string is the index of the item that is meant. Equal strings share an item.
type flatted struct {
	cell  string
	items []member
}

func parseFlatted(cell string) (flatted, bool) {
	root := skipSpace(cell, 0)
	if !json.Valid([]byte(cell)) || cell[root] != '[' {
		return flatted{}, false
	}
	f := flatted{cell: cell}
	eachMember(cell, root, func(m member) { f.items = append(f.items, m) })
	return f, len(f.items) > 0
}

// follow returns the item under the key of the item's object; found is false where the item is no object, has no such
// key, or holds null or the like there. A reference to nowhere, or to the key twice, is not flatted.
func (f flatted) follow(item int, key string) (next int, found, ok bool) {
	if f.cell[f.items[item].start] != '{' {
		return 0, false, true
	}
	ok = true
	eachMember(f.cell, f.items[item].start, func(m member) {
		switch {
		case m.key != key:
		case found:
			ok = false
		case f.cell[m.start] == '"':
			next, ok = f.index(m)
			found = ok
		}
	})
	return next, found, ok
}

func (f flatted) index(m member) (int, bool) {
	i, err := strconv.Atoi(unquoteJSON(f.cell, m.start, m.end))
	return i, err == nil && i >= 0 && i < len(f.items)
}

// text reports whether the item is a string that is not empty.
func (f flatted) text(item int) bool {
	m := f.items[item]
	return f.cell[m.start] == '"' && m.end-m.start > 2
}

func (f flatted) span(item int, path string) span {
	m := f.items[item]
	return span{Value{path, unquoteJSON(f.cell, m.start, m.end)}, m.start, m.end, true}
}

// flattedSpans finds the strings at the paths from the root, and those under the key anywhere that look like
// ciphertext.
func flattedSpans(cell string, paths []string, anywhere []AnyKey) (spans []span, ok bool) {
	f, ok := parseFlatted(cell)
	if !ok {
		return nil, false
	}
	found := make(map[int]string)
	for _, path := range paths {
		item, there, ok := f.walk(path)
		switch {
		case !ok, there && f.cell[f.items[item].start] != '"':
			return nil, false
		case there && f.text(item):
			found[item] = path
		}
	}
	for _, key := range anywhere {
		if strings.Contains(cell, `"`+key.Key+`"`) {
			f.anywhere(key, found)
		}
	}
	for item, path := range found {
		spans = append(spans, f.span(item, path))
	}
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	return spans, true
}

func (f flatted) walk(path string) (item int, found, ok bool) {
	for key := range strings.SplitSeq(path, ".") {
		if item, found, ok = f.follow(item, key); !found || !ok {
			return 0, false, ok
		}
	}
	return item, true, true
}

// anywhere looks into every object. The key may be a user's own, with anything behind it.
func (f flatted) anywhere(key AnyKey, found map[int]string) {
	for i := range f.items {
		item, there, ok := f.follow(i, key.Key)
		if !there || !ok || !f.text(item) || found[item] != "" || !f.beside(i, key.Beside) {
			continue
		}
		s := f.span(item, "["+strconv.Itoa(i)+"]."+key.Key)
		if form := cipher.FormOf(s.Stored); form == cipher.FormCBC || form == cipher.FormPrefixed {
			found[item] = s.Path
		}
	}
}

// beside reports whether the item's object has the key.
func (f flatted) beside(item int, key string) (has bool) {
	if key == "" {
		return true
	}
	eachMember(f.cell, f.items[item].start, func(m member) { has = has || m.key == key })
	return has
}
