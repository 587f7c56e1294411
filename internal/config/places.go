package config

import (
	"iter"
	"strings"
)

// places is where each key stands. The keys of a service or token are with it: there are thousands of those, and each is looked at
// by itself. What a service or token has of the declaration's defaults is not kept.
type places struct {
	head    map[string]place
	owned   map[string]map[string]spot // "services.crm" → "limits.rate"; "" is the entry itself
	sources map[source]*source
}

// spot is a place as it is kept.
type spot struct {
	*source

	line, col int32
}

// source is what many places have in common.
type source struct{ file, from string }

func (s spot) place() place {
	return place{file: s.file, line: int(s.line), col: int(s.col), from: s.from}
}

func newPlaces() places {
	return places{map[string]place{}, map[string]map[string]spot{}, map[source]*source{}}
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

func (p *places) get(key string) (place, bool) {
	owner, rest := split(key)
	if owner == "" {
		at, ok := p.head[key]
		return at, ok
	}
	at, ok := p.owned[owner][rest]
	if !ok {
		return place{}, false
	}
	return at.place(), true
}

func (p *places) set(key string, at place) {
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
	of[rest] = spot{p.source(at), int32(at.line), int32(at.col)} //nolint:gosec // a file has few lines, and those are short
}

func (p *places) source(at place) *source {
	key := source{at.file, at.from}
	known := p.sources[key]
	if known == nil {
		known = &key
		p.sources[key] = known
	}
	return known
}

func (p *places) drop(key string) {
	if owner, rest := split(key); owner == "" {
		delete(p.head, key)
	} else {
		delete(p.owned[owner], rest)
	}
}

// of are the keys of one service or token, without its own.
func (p *places) of(owner string) iter.Seq2[string, place] {
	return func(yield func(string, place) bool) {
		for rest, at := range p.owned[owner] {
			if rest != "" && !yield(rest, at.place()) {
				return
			}
		}
	}
}
