package place

import (
	"iter"
	"maps"
	"strings"
)

// Index is where each key stands. The keys of a service or token are with it: there are thousands of those, and each is
// looked at by itself. What a service or token has of the declaration's defaults is not kept.
type Index struct {
	head    map[string]Position
	Owned   Owned // "services.crm" → "limits.rate"; "" is the entry itself
	origins map[origin]*origin
}

// Owned is what an index has of services and tokens. Two indexes may share the entries of one.
type Owned map[string]map[string]spot

// Take adds the entries of services and tokens that p has none of.
func (p *Index) Take(all Owned) { maps.Copy(p.Owned, all) }

// Has tells whether a key is set, by whatever means.
func (p *Index) Has(key string) bool { _, ok := p.Get(key); return ok }

// At returns where key stands, or the nearest key around it that stands anywhere in a file, or the flag that set it;
// else the whole of file.
func (p *Index) At(key, file string) Position {
	for key != "" {
		if at, ok := p.Get(key); ok && at.Own() {
			if at.From == "" {
				return at
			}
			return Position{File: at.From}
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			break
		}
		key = key[:i]
	}
	return Position{File: file}
}

// spot is a position as it is kept.
type spot struct {
	*origin

	line, col int32
}

// origin is what many positions have in common.
type origin struct{ file, from string }

func (s spot) position() Position {
	return Position{File: s.file, Line: int(s.line), Col: int(s.col), From: s.from}
}

// NewIndex returns an empty index.
func NewIndex() Index {
	return Index{map[string]Position{}, Owned{}, map[origin]*origin{}}
}

// Owner returns the service or token that a key is of, and the rest. The owner of any other key is "".
func Owner(key string) (owner, rest string) {
	if !strings.HasPrefix(key, "services.") && !strings.HasPrefix(key, "tokens.") {
		return "", key
	}
	name := strings.IndexByte(key, '.') + 1
	end := strings.IndexByte(key[name:], '.')
	if end < 0 {
		return key, ""
	}
	return key[:name+end], key[name+end+1:]
}

// Get returns where a key stands, if it is set.
func (p *Index) Get(key string) (Position, bool) {
	owner, rest := Owner(key)
	if owner == "" {
		at, ok := p.head[key]
		return at, ok
	}
	at, ok := p.Owned[owner][rest]
	if !ok {
		return Position{}, false
	}
	return at.position(), true
}

// Set notes where a key stands.
func (p *Index) Set(key string, at Position) {
	owner, rest := Owner(key)
	if owner == "" {
		p.head[key] = at
		return
	}
	of := p.Owned[owner]
	if of == nil {
		of = map[string]spot{}
		p.Owned[owner] = of
	}
	//nolint:gosec // a file has few lines, and those are short
	of[rest] = spot{p.origin(at), int32(at.Line), int32(at.Col)}
}

func (p *Index) origin(at Position) *origin {
	key := origin{at.File, at.From}
	known := p.origins[key]
	if known == nil {
		known = &key
		p.origins[key] = known
	}
	return known
}

// Drop forgets a key.
func (p *Index) Drop(key string) {
	if owner, rest := Owner(key); owner == "" {
		delete(p.head, key)
	} else {
		delete(p.Owned[owner], rest)
	}
}

// Within are the keys of one service or token, without its own.
func (p *Index) Within(owner string) iter.Seq2[string, Position] {
	return func(yield func(string, Position) bool) {
		for rest, at := range p.Owned[owner] {
			if rest != "" && !yield(rest, at.position()) {
				return
			}
		}
	}
}
