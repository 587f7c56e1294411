package config

import (
	"bytes"
	"maps"
	"slices"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/document"
)

// Named is the tokens and services that a command is about.
type Named struct {
	Tokens   []string
	Services []string
}

func (n *Named) none() bool { return len(n.Tokens)+len(n.Services) == 0 }

// grow adds the services that tokens name, and tells whether one of them is new: whether it is there is a part of a
// token's check.
func (n *Named) grow(tokens map[string]*Token) bool {
	known := make(map[string]bool, len(n.Services))
	for _, name := range n.Services {
		known[name] = true
	}
	before := len(n.Services)
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		if t := tokens[name]; t != nil {
			for _, service := range t.Services {
				if !known[service] && declare.IsOwnName(service) {
					known[service], n.Services = true, append(n.Services, service)
				}
			}
		}
	}
	return len(n.Services) > before
}

// mayBeIn tells whether a file can hold one of the names as a key. A name is made of letters that YAML writes as they
// are, unless there is a backslash, so a file that has neither is not parsed.
func (n *Named) mayBeIn(src []byte) bool {
	if n == nil || bytes.IndexByte(src, '\\') >= 0 {
		return true
	}
	wanted := make(map[string]bool, len(n.Tokens)+len(n.Services))
	for _, list := range [][]string{n.Tokens, n.Services} {
		for _, name := range list {
			wanted[name] = true
		}
	}
	for at := 0; at < len(src); at++ {
		end := at
		for end < len(src) && isNameByte(src[end]) {
			end++
		}
		if end > at && wanted[string(src[at:end])] {
			return true
		}
		at = end
	}
	return false
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// of is the file's tree without what is not named, and without rotations, which speak of services. What is no map
// stays, and is an error as always.
func (n *Named) of(root *document.Node) *document.Node {
	if n == nil {
		return root
	}
	kept := *root
	kept.Pairs = nil
	for _, p := range root.Pairs {
		list, some := map[string][]string{"services": n.Services, "tokens": n.Tokens}[p.Key.Text]
		if some {
			p.Value = only(p.Value, list)
		}
		if p.Value != nil && (p.Key.Text != "rotations" || p.Value.Kind != document.Map) {
			kept.Pairs = append(kept.Pairs, p)
		}
	}
	return &kept
}

// only are the entries of a map with one of the names; nil for none.
func only(n *document.Node, names []string) *document.Node {
	if len(names) == 0 {
		return nil
	}
	if n.Kind != document.Map {
		return n
	}
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	kept := *n
	kept.Pairs = nil
	for _, p := range n.Pairs {
		if wanted[p.Key.Text] {
			kept.Pairs = append(kept.Pairs, p)
		}
	}
	if len(kept.Pairs) == 0 {
		return nil
	}
	return &kept
}
