package config

import "bytes"

// Named is the tokens and services that a command is about.
type Named struct {
	Tokens   []string
	Services []string
}

func (n *Named) none() bool { return len(n.Tokens)+len(n.Services) == 0 }

// grow adds the services that c's tokens name, and tells whether one of them is new: whether it is there is a part of a
// token's check.
func (n *Named) grow(c *Config) bool {
	known := make(map[string]bool, len(n.Services))
	for _, name := range n.Services {
		known[name] = true
	}
	before := len(n.Services)
	for _, name := range c.TokenNames() {
		if t := c.Tokens[name]; t != nil {
			for _, service := range t.Services {
				if !known[service] && ownName.MatchString(service) {
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

// of is the file's tree without what is not named. What is no map stays, and is an error as always.
func (n *Named) of(root *node) *node {
	if n == nil {
		return root
	}
	kept := *root
	kept.pairs = nil
	for _, p := range root.pairs {
		list, some := map[string][]string{"services": n.Services, "tokens": n.Tokens}[p.key.text]
		if some {
			p.value = only(p.value, list)
		}
		if p.value != nil {
			kept.pairs = append(kept.pairs, p)
		}
	}
	return &kept
}

// only are the entries of a map with one of the names; nil for none.
func only(n *node, names []string) *node {
	if len(names) == 0 {
		return nil
	}
	if n.kind != mapNode {
		return n
	}
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	kept := *n
	kept.pairs = nil
	for _, p := range n.pairs {
		if wanted[p.key.text] {
			kept.pairs = append(kept.pairs, p)
		}
	}
	if len(kept.pairs) == 0 {
		return nil
	}
	return &kept
}
