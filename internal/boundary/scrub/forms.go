package scrub

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// fold is the bit in which the letters a–f differ from A–F.
const fold = 0x20

// minDerived is the length under which the inner characters of a base64 form are
// not looked for: they would be found by chance, and the search wants a block.
const minDerived = block

// form is one way a secret can be written.
type form struct {
	text  string
	folds string // per byte of text, the bits that may differ; "" when none may
	wraps bool   // may be broken over lines: base64 and hexadecimal

	marked bool // has bytes that begin escapes or break lines
}

func (f *form) foldsAt(i int) byte {
	if f.folds == "" {
		return 0
	}
	return f.folds[i]
}

// at tells whether byte i of the form may be written as c.
func (f *form) at(i int, c byte) bool {
	return c|f.foldsAt(i) == f.text[i] || c == '+' && f.text[i] == ' '
}

// spells tells whether the form goes on at i with what u spells.
func (f *form) spells(i int, u *unit) bool {
	if len(f.text)-i < int(u.n) {
		return false
	}
	for j := range int(u.n) {
		if u.val[j]|f.foldsAt(i+j) != f.text[i+j] {
			return false
		}
	}
	return true
}

// prefixed tells whether b, no longer than the form, is how the form starts.
func (f *form) prefixed(b []byte) bool {
	if f.folds == "" {
		return string(b) == f.text[:len(b)]
	}
	for i, c := range b {
		if c|f.folds[i] != f.text[i] {
			return false
		}
	}
	return true
}

// writer puts a form together.
type writer struct{ text, folds []byte }

// plain appends what is matched as it is.
func (w *writer) plain(s string) {
	w.text = append(w.text, s...)
	w.folds = append(w.folds, make([]byte, len(s))...)
}

// hex appends hexadecimal digits, given in lower case, matched in any.
func (w *writer) hex(digits string) {
	for _, d := range []byte(digits) {
		w.text = append(w.text, d)
		if d >= 'a' {
			w.folds = append(w.folds, fold)
		} else {
			w.folds = append(w.folds, 0)
		}
	}
}

func (w *writer) form() form {
	f := form{text: string(w.text)}
	if slices.Contains(w.folds, fold) {
		f.folds = string(w.folds)
	}
	return f
}

// maxTwice is the longest value, in bytes, that is looked for in base64 of base64 too.
const maxTwice = 1 << 10

// forms lists every form of the values, each once. Escapes are no forms: they are read where they stand (spelling.go).
func forms(values [][]byte) []form {
	var all []form
	for _, v := range values {
		if len(v) < MinLength {
			continue
		}
		text := string(v)
		all = append(all, asIs(text), wide(text, binary.LittleEndian), wide(text, binary.BigEndian))
		if strings.Contains(text, " ") {
			all = append(all, asIs(strings.ReplaceAll(text, " ", "+")))
		}
		var w writer
		w.hex(hex.EncodeToString(v))
		digits := w.form()
		digits.wraps = true
		all = append(all, digits)
		for _, s := range encoded(v) {
			all = append(all, form{text: s, wraps: true})
		}
		for _, s := range written(text) {
			for _, b := range encoded([]byte(s)) {
				all = append(all, form{text: b, wraps: true})
			}
		}
		if len(v) <= maxTwice {
			for _, s := range encodedInner(v) {
				for _, b := range encodedInner([]byte(s)) {
					all = append(all, form{text: b, wraps: true})
				}
			}
		}
	}
	seen := map[form]bool{}
	return slices.DeleteFunc(all, func(f form) bool {
		again := seen[f] || len(f.text) < block
		seen[f] = true
		return again
	})
}

// encodedInner lists the characters of base64 that value determines alone, at each alignment.
func encodedInner(value []byte) []string {
	var all []string
	for before := range 3 {
		text := append(make([]byte, before), value...)
		first, last := (before*8+5)/6, len(text)*8/6
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if s := alphabet.EncodeToString(text)[first:last]; len(s) >= minDerived && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// written lists the ways in which encoders in use write s in JSON, in a URL and in HTML before all of that is put into
// base64, where no escape can be read.
func written(s string) []string {
	if !strings.ContainsFunc(s, special) {
		return nil
	}
	var all []string
	add := func(w string) {
		if w != s && !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	add(url.QueryEscape(s))
	add(url.PathEscape(s))
	add(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"))
	add(html.EscapeString(s))
	for _, asHTML := range []bool{false, true} {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(asHTML)
		if e.Encode(s) == nil {
			quoted := strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
			add(quoted)
			add(strings.ReplaceAll(quoted, "/", `\/`))
		}
	}
	return all
}

// encoded lists the base64 forms of value: in both alphabets, at the three
// positions it can have in the encoded text, the characters that value
// determines alone. Where value is the end of the text its last character is
// determined as well, with and without the padding after it. What may remain
// visible is a character at either border that holds at most 4 bits of value.
func encoded(value []byte) []string {
	var all []string
	for before := range 3 {
		text := append(make([]byte, before), value...)
		first := (before*8 + 5) / 6
		for _, alphabet := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			padded := alphabet.EncodeToString(text)[first:]
			whole := strings.TrimRight(padded, "=")
			inner := whole[:len(text)*8/6-first]
			for _, s := range []string{inner, whole, padded} {
				if len(s) >= minDerived {
					all = append(all, s)
				}
			}
		}
	}
	return all
}

// special tells whether some encoder in use escapes r.
func special(r rune) bool {
	return r >= utf8.RuneSelf || !alphanumeric(byte(r)) && r != '-' && r != '_' && r != '.' //nolint:gosec // r < 0x80
}

func asIs(s string) form {
	var w writer
	w.plain(s)
	return w.form()
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// wide writes s in UTF-16.
func wide(s string, order binary.AppendByteOrder) form {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, unit)
	}
	return asIs(string(b))
}
