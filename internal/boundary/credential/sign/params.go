package sign

import (
	"slices"
	"strings"
)

// param is a name and a value, percent-encoded by RFC 3986.
type param struct{ name, value string }

// params are in the order that both AWS and OAuth want: by encoded name, then by encoded value.
type params []param

// add decodes the pairs of a query or a form and encodes each in the one way.
func (p params) add(raw string) (params, bool) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, ok1 := reencode(name)
		v, ok2 := reencode(value)
		if !ok1 || !ok2 {
			return nil, false
		}
		p = append(p, param{n, v})
	}
	return p, true
}

// reencode writes a part of a query in the one way; most are written in it already.
func reencode(s string) (string, bool) {
	plain := true
	for i := range len(s) {
		plain = plain && unreserved(s[i])
	}
	if plain {
		return s, true
	}
	s, ok := unescape(s, true)
	return string(appendEscaped(nil, s, "")), ok
}

func (p params) sort() {
	slices.SortFunc(p, func(a, b param) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
}

// append writes the pairs with = and & between them.
func (p params) append(b []byte) []byte {
	for i, one := range p {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, one.name...)
		b = append(b, '=')
		b = append(b, one.value...)
	}
	return b
}
