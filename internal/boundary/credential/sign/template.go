package sign

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// The placeholders of templates.
const (
	varMethod      = "method"
	varScheme      = "scheme"
	varHost        = "host"
	varPath        = "path"
	varQuery       = "query"
	varTarget      = "target" // path, and ?query where there is one
	varBody        = "body"
	varBodySHA256  = "body_sha256"
	varTimestamp   = "timestamp"
	varTimestampMS = "timestamp_ms"
	varNonce       = "nonce"
	varSignature   = "signature"
	varHeader      = "header:"
)

// inMessage, inFormat and inHeader are the placeholders that each kind of template knows.
//
//nolint:gochecknoglobals // constant tables
var (
	inMessage = []string{
		varMethod, varScheme, varHost, varPath, varQuery, varTarget, varBody, varBodySHA256,
		varTimestamp, varTimestampMS, varNonce, varHeader,
	}
	inFormat = []string{varSignature, varTimestamp, varTimestampMS, varNonce}
	inHeader = []string{varTimestamp, varTimestampMS, varNonce}
)

// part is one piece of a template: a placeholder, or text as it is.
type part struct {
	name string // a placeholder; "" is text
	text string // the text, or the canonical name of varHeader's header
}

// template is text with placeholders in braces. Braces of the text are written twice.
type template []part

// parseTemplate reads a template that may use the placeholders of known. The error names the place, counted in bytes
// from 1.
func parseTemplate(s string, known []string) (template, error) {
	var t template
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			t = append(t, part{text: text.String()})
			text.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch doubled := i+1 < len(s) && s[i+1] == c; {
		case c != '{' && c != '}':
			text.WriteByte(c)
		case doubled:
			text.WriteByte(c)
			i++
		case c == '}':
			return nil, fmt.Errorf("a } without its { at byte %d; write }} for a brace of the text", i+1)
		default:
			name, _, closed := strings.Cut(s[i+1:], "}")
			if !closed {
				return nil, fmt.Errorf("the { at byte %d has no }; write {{ for a brace of the text", i+1)
			}
			p, err := placeholder(name, known)
			if err != nil {
				return nil, fmt.Errorf("at byte %d: %w", i+1, err)
			}
			flush()
			t = append(t, p)
			i += len(name) + 1
		}
	}
	flush()
	return t, nil
}

func placeholder(name string, known []string) (part, error) {
	if field, ok := strings.CutPrefix(name, varHeader); ok && slices.Contains(known, varHeader) {
		if !isToken(field) {
			return part{}, fmt.Errorf("{%s} names no header; write {header:X-Name}", printable(name))
		}
		return part{name: varHeader, text: textproto.CanonicalMIMEHeaderKey(field)}, nil
	}
	if name != varHeader && slices.Contains(known, name) {
		return part{name: name}, nil
	}
	if near := nearest(name, known); near != "" {
		return part{}, fmt.Errorf("there is no placeholder {%s}: did you mean {%s}?", printable(name), near)
	}
	return part{}, fmt.Errorf("there is no placeholder {%s}; there are {%s}", printable(name),
		strings.Join(written(known), "}, {"))
}

// written is how the placeholders look in a template.
func written(known []string) []string {
	all := slices.Clone(known)
	for i, name := range all {
		if name == varHeader {
			all[i] = "header:X-Name"
		}
	}
	return all
}

// printable is a name for a message: what cannot be printed is escaped, and what is long is cut.
func printable(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// uses tells whether the placeholder stands in the template.
func (t template) uses(name string) bool {
	return slices.ContainsFunc(t, func(p part) bool { return p.name == name })
}

// checkField wants a template's text to be good in a header.
func (t template) checkField() error {
	for _, p := range t {
		for _, c := range []byte(p.text) {
			if p.name == "" && (c < ' ' || c >= 0x7f) {
				return errors.New("it has a character that cannot stand in a header")
			}
		}
	}
	return nil
}

// expand writes the template with the values that lookup has.
func (t template) expand(lookup func(name string) string) string {
	if len(t) == 1 && t[0].name != "" {
		return lookup(t[0].name)
	}
	var b strings.Builder
	for _, p := range t {
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		b.WriteString(lookup(p.name))
	}
	return b.String()
}

// isToken is RFC 9110's token: the name of a header.
func isToken(s string) bool {
	for i := range len(s) {
		if !unreserved(s[i]) && strings.IndexByte("!#$%&'*+^`|", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// nearest is the word that a misspelt one was meant to be, or "".
func nearest(got string, words []string) string {
	if len(got) > 40 {
		return ""
	}
	fold := strings.NewReplacer("-", "", "_", "", " ", "")
	got = strings.ToLower(fold.Replace(got))
	best, bestDistance := "", 1+max(1, len(got)/3)
	for _, word := range words {
		if d := distance(got, fold.Replace(word)); d < bestDistance {
			best, bestDistance = word, d
		}
	}
	if best == varHeader {
		return "header:X-Name"
	}
	return best
}

// distance is the number of insertions, deletions and substitutions between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
