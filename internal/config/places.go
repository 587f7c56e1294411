package config

import (
	"iter"
	"strings"
)

// places is where each key stands. The keys of a service or token are with it: there are thousands of those, and each is looked at
// by itself. What a service or token has of the declaration's defaults is not kept.
type places struct {
	head  map[string]place
	owned map[string]map[string]place // "services.crm" → "limits.rate"; "" is the entry itself
}

func newPlaces() places { return places{map[string]place{}, map[string]map[string]place{}} }

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
	return at, ok
}

func (p *places) set(key string, at place) {
	owner, rest := split(key)
	if owner == "" {
		p.head[key] = at
		return
	}
	of := p.owned[owner]
	if of == nil {
		of = map[string]place{}
		p.owned[owner] = of
	}
	of[rest] = at
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
			if rest != "" && !yield(rest, at) {
				return
			}
		}
	}
}
