package scrub

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// fold is the bit in which the letters a–f differ from A–F.
const fold = 0x20

// minDerived is the length under which the inner characters of a base64 form are
// not looked for: they would be found by chance.
const minDerived = 6

// form is one way a secret can be written.
type form struct {
	text  string
	folds string // per byte of text, the bits that may differ; "" when none may
}

func (f *form) foldsAt(i int) byte {
	if f.folds == "" {
		return 0
	}
	return f.folds[i]
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

// forms lists every form of the values, each once.
func forms(values [][]byte) []form {
	var all []form
	for _, v := range values {
		if len(v) < MinLength {
			continue
		}
		all = append(all, escaped(string(v), true)...)
		for _, b := range encoded(v) {
			all = append(all, escaped(b, false)...)
		}
		var w writer
		w.hex(hex.EncodeToString(v))
		all = append(all, w.form())
	}
	seen := map[form]bool{}
	return slices.DeleteFunc(all, func(f form) bool {
		again := seen[f]
		seen[f] = true
		return again
	})
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

// escaped lists the ways in which s is written in a URL, in JSON and in HTML, and
// as it is. With full, also the ways in which every character is escaped, and
// UTF-16.
func escaped(s string, full bool) []form {
	all := []form{asIs(s)}
	if full {
		all = append(all, percentAll(s), jsonAll(s), wide(s, binary.LittleEndian), wide(s, binary.BigEndian))
	}
	if !strings.ContainsFunc(s, special) {
		return all
	}
	for _, keep := range urlKeeps {
		all = append(all, percent(s, keep, "%20"), percent(s, keep, "+"))
	}
	for _, e := range jsonEscapes {
		all = append(all, e.write(s))
	}
	return append(all, htmlForms(s)...)
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

// urlKeeps are the sets of characters, beside letters and digits, that encoders
// in use leave alone. A space is "+" or "%20" in each.
var urlKeeps = [...]string{
	"-_.~",                   // RFC 3986 unreserved: Go url.QueryEscape, Python quote_plus, PHP rawurlencode
	"-_.",                    // PHP urlencode
	"-_.*",                   // application/x-www-form-urlencoded: URLSearchParams, Java URLEncoder
	"-_.~/",                  // Python quote
	"-_.~$&+=:@",             // Go url.PathEscape
	"-_.!~*'()",              // JavaScript encodeURIComponent
	"-_.!~*'():$,[]",         // axios
	"-_.!~*'();/?:@&=+$,#",   // JavaScript encodeURI
	"-_.~!$&'()*+,;=:@",      // RFC 3986 path segment
	"-_.~!$&'()*+,;=:@/",     // RFC 3986 path
	"-_.~!$&'()*+,;=:@/?",    // RFC 3986 query
	"-_.~!$&'()*+,;=:@/?%[]", // a URL that was taken for encoded already
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func percent(s, keep, space string) form {
	var w writer
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			w.plain(space)
		case alphanumeric(c) || strings.IndexByte(keep, c) >= 0:
			w.plain(s[i : i+1])
		default:
			w.plain("%")
			w.hex(hex.EncodeToString([]byte{c}))
		}
	}
	return w.form()
}

func percentAll(s string) form {
	var w writer
	for i := range len(s) {
		w.plain("%")
		w.hex(hex.EncodeToString([]byte{s[i]}))
	}
	return w.form()
}

// jsonEscape is the habit of one JSON encoder (RFC 8259 section 7).
type jsonEscape struct {
	short string // the characters with an escape of two characters
	long  string // further characters written as \u00XX; control characters always are
	ascii bool   // whether \uXXXX is also used for all that is not ASCII
}

const shortControls = "\b\f\n\r\t"

var jsonEscapes = [...]jsonEscape{
	{`"\` + shortControls, "", false},                // JavaScript, Go without SetEscapeHTML
	{`"\` + shortControls, "", true},                 // Python
	{`"\` + shortControls, "<>&\u2028\u2029", false}, // Go encoding/json
	{`"\` + "\n\r\t", "<>&\u2028\u2029", false},      // Go before 1.22
	{`"\/` + shortControls, "", false},               // PHP JSON_UNESCAPED_UNICODE
	{`"\/` + shortControls, "", true},                // PHP
	{`\/` + shortControls, `"<>&'`, true},            // PHP JSON_HEX_*
	{`\` + shortControls, "\"<>&'+`\x7f", true},      // .NET System.Text.Json
	{`"\` + shortControls, "<>&'=", false},           // Gson
	{`"\` + shortControls, "<>&'=\x7f", true},        // Rails and the like
	{`"\`, "", false},                                // controls in full
	{`"\`, "", true},
}

func (e jsonEscape) write(s string) form {
	var w writer
	for i, r := range s {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, size = utf8.DecodeRuneInString(s[i:])
		}
		switch {
		case strings.ContainsRune(e.short, r):
			w.plain(`\` + shortEscape(r))
		case r < ' ' || strings.ContainsRune(e.long, r) || e.ascii && r >= utf8.RuneSelf && size > 1:
			w.unicode(r)
		default:
			w.plain(s[i : i+size])
		}
	}
	return w.form()
}

// shortEscape is what follows the backslash in the short escape of r.
func shortEscape(r rune) string {
	if i := strings.IndexRune(shortControls, r); i >= 0 {
		return "bfnrt"[i : i+1]
	}
	return string(r)
}

// unicode appends r as \uXXXX, as a surrogate pair where it needs one.
func (w *writer) unicode(r rune) {
	for _, unit := range utf16.Encode([]rune{r}) {
		w.plain(`\u`)
		w.hex(hex.EncodeToString([]byte{byte(unit >> 8), byte(unit)})) //nolint:gosec // high and low half
	}
}

// jsonAll writes every character as \uXXXX.
func jsonAll(s string) form {
	var w writer
	for _, r := range s {
		w.unicode(r)
	}
	return w.form()
}

// wide writes s in UTF-16.
func wide(s string, order binary.AppendByteOrder) form {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, unit)
	}
	return asIs(string(b))
}

// htmlForms lists s with the five special characters escaped, for the spellings
// that encoders use for the quotes, and with "+" escaped as html/template does.
func htmlForms(s string) []form {
	if !strings.ContainsAny(s, `&<>"'+`) {
		return nil
	}
	var all []form
	for _, quot := range []string{"&#34;", "&quot;", "&#x22;", `"`} {
		for _, apos := range []string{"&#39;", "&#039;", "&#x27;", "&apos;", "'"} {
			for _, plus := range []string{"+", "&#43;"} {
				r := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, quot, "'", apos, "+", plus)
				all = append(all, asIs(r.Replace(s)))
			}
		}
	}
	return all
}
