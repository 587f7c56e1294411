package config

import (
	"iter"
	"strings"
)

// positions is where each key stands. The keys of a service or token are with it: there are thousands of those, and
// each is looked at by itself. What a service or token has of the declaration's defaults is not kept.
type positions struct {
	head    map[string]position
	owned   map[string]map[string]spot // "services.crm" → "limits.rate"; "" is the entry itself
	origins map[origin]*origin
}

// spot is a position as it is kept.
type spot struct {
	*origin

	line, col int32
}

// origin is what many positions have in common.
type origin struct{ file, from string }

func (s spot) position() position {
	return position{file: s.file, line: int(s.line), col: int(s.col), from: s.from}
}

func newPositions() positions {
	return positions{map[string]position{}, map[string]map[string]spot{}, map[origin]*origin{}}
}

// split returns the service or token that a key is of, and the rest. The owner of any other key is "".
func split(key string) (owner, rest string) {
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

func (p *positions) get(key string) (position, bool) {
	owner, rest := split(key)
	if owner == "" {
		at, ok := p.head[key]
		return at, ok
	}
	at, ok := p.owned[owner][rest]
	if !ok {
		return position{}, false
	}
	return at.position(), true
}

func (p *positions) set(key string, at position) {
	owner, rest := split(key)
	if owner == "" {
		p.head[key] = at
		return
	}
	of := p.owned[owner]
	if of == nil {
		of = map[string]spot{}
		p.owned[owner] = of
	}
	of[rest] = spot{p.origin(at), int32(at.line), int32(at.col)} //nolint:gosec // a file has few lines, and those are short
}

func (p *positions) origin(at position) *origin {
	key := origin{at.file, at.from}
	known := p.origins[key]
	if known == nil {
		known = &key
		p.origins[key] = known
	}
	return known
}

func (p *positions) drop(key string) {
	if owner, rest := split(key); owner == "" {
		delete(p.head, key)
	} else {
		delete(p.owned[owner], rest)
	}
}

// of are the keys of one service or token, without its own.
func (p *positions) of(owner string) iter.Seq2[string, position] {
	return func(yield func(string, position) bool) {
		for rest, at := range p.owned[owner] {
			if rest != "" && !yield(rest, at.position()) {
				return
			}
		}
	}
}
