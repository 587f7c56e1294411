package scrub

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// An escape begins with an introducer: % (URLs, RFC 3986 section 2.1), & (HTML character references), \ (JSON,
// JavaScript and their kin) or = (quoted-printable, RFC 2045 section 6.7).
const (
	maxChain    = 8   // how often an introducer may itself be escaped
	maxNested   = 2   // how often the other characters of an escape may be
	maxSpelling = 256 // the longest spelling of one character, in bytes: of zeros there may be many
	maxUnits    = 24
)

// unit is one reading of what stands at some place of a text: the bytes that it spells, none for a break in a line that
// means nothing, and where it ends.
type unit struct {
	val [utf8.UTFMax]byte
	n   uint8
	end int
}

// blank tells whether u is white space, over which base64 and hexadecimal digits go on.
func (u *unit) blank() bool { return u.n == 1 && strings.IndexByte("\r\n\t ", u.val[0]) >= 0 }

// speller reads the escapes that begin at one place of a text. There may be several readings.
type speller struct {
	text  []byte
	limit int // where the longest spelling ends
	units [maxUnits]unit
	count int
	open  bool // an escape may go on behind the end of the text
}

func isIntroducer(c byte) bool { return c == '%' || c == '&' || c == '\\' || c == '=' }

// read finds the units that begin at at with an introducer; the byte itself is none of them.
func (s *speller) read(text []byte, at int) {
	s.text, s.count, s.open, s.limit = text, 0, false, at+maxSpelling
	s.escape(text[at], at+1, maxNested, 0)
}

// escape reads what follows an introducer.
func (s *speller) escape(kind byte, at, nested, chain int) {
	before := s.count
	within := kind
	if chain > 0 {
		within = 0 // it was escaped itself, and so may be the rest
	}
	switch kind {
	case '%':
		s.percent(at, nested, within)
	case '=':
		s.quoted(at, nested, within)
	case '&':
		s.reference(at, nested, within)
	case '\\':
		s.backslash(at, nested, within)
	}
	if chain == maxChain {
		return
	}
	for i := before; i < s.count; i++ {
		if u := s.units[i]; u.n == 1 && isIntroducer(u.val[0]) {
			s.escape(u.val[0], u.end, nested, chain+1)
		}
	}
}

// emit adds a unit, once.
func (s *speller) emit(end int, val ...byte) {
	u := unit{n: uint8(len(val)), end: end} //nolint:gosec // no more than UTFMax
	copy(u.val[:], val)
	for i := range s.count {
		if s.units[i] == u {
			return
		}
	}
	if s.count < maxUnits {
		s.units[s.count] = u
		s.count++
	}
}

func (s *speller) emitRune(end int, r rune) {
	var b [utf8.UTFMax]byte
	if r >= 0 && r <= utf8.MaxRune {
		s.emit(end, b[:utf8.EncodeRune(b[:], r)]...)
	}
}

// emitByte adds a byte; above ASCII also the character of that number, which some mean by it.
func (s *speller) emitByte(end int, v rune) {
	s.emit(end, byte(v)) //nolint:gosec // two digits
	if v >= utf8.RuneSelf {
		s.emitRune(end, v)
	}
}

// pick reads one character of an escape that wanted accepts: as it is, or escaped itself. within is the kind of the
// escape, which can't be nested in itself, unless it was escaped: its introducer would have been.
func (s *speller) pick(at, nested int, within byte, wanted func(byte) bool) (c byte, end int, ok bool) {
	if at >= len(s.text) {
		s.open = true
		return 0, at, false
	}
	if at >= s.limit {
		return 0, at, false
	}
	c = s.text[at]
	if wanted(c) {
		return c, at + 1, true
	}
	if nested == 0 || !isIntroducer(c) || c == within {
		return 0, at, false
	}
	inner := speller{text: s.text, limit: s.limit}
	inner.escape(c, at+1, nested-1, 0)
	s.open = s.open || inner.open
	for i := range inner.count {
		if u := &inner.units[i]; u.n == 1 && wanted(u.val[0]) {
			return u.val[0], u.end, true
		}
	}
	return 0, at, false
}

// number reads digits of a base: high of them, or up to so many where their number is open.
func (s *speller) number(at, nested int, within byte, base rune, high int) (v rune, end int, ok bool) {
	wanted := isHex
	switch base {
	case 10:
		wanted = isDigit
	case 8:
		wanted = isOctal
	}
	low, n := high, 0
	if base == 8 || high == maxSpelling {
		low = 1
	}
	for ; n < high; n++ {
		c, next, ok := s.pick(at, nested, within, wanted)
		if !ok {
			break
		}
		if v <= utf8.MaxRune {
			v = v*base + digit(c)
		}
		at = next
	}
	return v, at, n >= low
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isOctal(c byte) bool { return '0' <= c && c <= '7' }
func isAny(byte) bool     { return true }

func digit(c byte) rune {
	switch {
	case c <= '9':
		return rune(c - '0')
	default:
		return rune(c|fold) - 'a' + 10
	}
}

func one(want byte) func(byte) bool { return func(c byte) bool { return c == want } }

// percent reads %41, and %u0041 as JavaScript's escape writes it.
func (s *speller) percent(at, nested int, within byte) {
	if v, end, ok := s.number(at, nested, within, 16, 2); ok {
		s.emitByte(end, v)
	}
	if _, next, ok := s.pick(at, nested, within, func(c byte) bool { return c|fold == 'u' }); ok {
		if v, end, ok := s.number(next, nested, within, 16, 4); ok {
			s.emitUnit16(end, v, nested, '%', within)
		}
	}
}

// quoted reads =41, and a soft line break.
func (s *speller) quoted(at, nested int, within byte) {
	if v, end, ok := s.number(at, nested, within, 16, 2); ok {
		s.emitByte(end, v)
	}
	s.lineBreak(at)
}

// lineBreak reads a line's end, which an introducer before it takes the meaning from.
func (s *speller) lineBreak(at int) {
	if at < len(s.text) && s.text[at] == '\r' {
		at++
		s.open = s.open || at == len(s.text)
	}
	if at < len(s.text) && s.text[at] == '\n' {
		s.emit(at + 1)
	}
}

// backslash reads the escapes of JSON (RFC 8259 section 7), JavaScript, C, Python and shells.
func (s *speller) backslash(at, nested int, within byte) {
	c, end, ok := s.pick(at, 0, '\\', isAny)
	if !ok {
		return
	}
	if nested > 0 && c != '\\' && isIntroducer(c) {
		if inner, next, ok := s.pick(at, nested, within, func(c byte) bool {
			return c == 'u' || c == 'x' || c == '/' || c == '"'
		}); ok {
			s.letter(inner, next, nested, within)
		}
	}
	s.letter(c, end, nested, within)
	s.lineBreak(at)
}

func (s *speller) letter(c byte, end, nested int, within byte) {
	switch {
	case c == 'u':
		if v, end, ok := s.number(end, nested, within, 16, 4); ok {
			s.emitUnit16(end, v, nested, '\\', within)
		}
		s.braced(end, nested, within)
	case c == 'x':
		if v, end, ok := s.number(end, nested, within, 16, 2); ok {
			s.emitByte(end, v)
		}
		s.braced(end, nested, within)
	case c == 'U':
		if v, end, ok := s.number(end, nested, within, 16, 8); ok {
			s.emitRune(end, v)
		}
	case isOctal(c):
		v, end, _ := s.number(end-1, 0, '\\', 8, 3)
		s.emitByte(end, v&0xff)
	case !alphanumeric(c):
		s.emit(end, c)
	default:
		if i := strings.IndexByte("abtnvfre", c); i >= 0 {
			s.emit(end, "\a\b\t\n\v\f\r\x1b"[i])
		}
	}
}

// braced reads {41}.
func (s *speller) braced(at, nested int, within byte) {
	_, at, ok := s.pick(at, nested, within, one('{'))
	if !ok {
		return
	}
	v, at, ok := s.number(at, nested, within, 16, maxSpelling)
	if _, end, closed := s.pick(at, nested, within, one('}')); ok && closed {
		s.emitRune(end, v)
	}
}

// emitUnit16 adds a UTF-16 code unit, with the other half of a pair.
func (s *speller) emitUnit16(at int, v rune, nested int, kind, within byte) {
	if !utf16.IsSurrogate(v) {
		s.emitRune(at, v)
		return
	}
	other := speller{text: s.text, limit: s.limit}
	other.both(at, kind)
	s.open = s.open || other.open
	for i := range other.count {
		_, at, ok := s.pick(other.units[i].end, nested, within, one('u'))
		if !ok {
			continue
		}
		if low, end, ok := s.number(at, nested, within, 16, 4); ok {
			if r := utf16.DecodeRune(v, low); r != utf8.RuneError {
				s.emitRune(end, r)
			}
		}
	}
}

// both reads an introducer of a kind, as it is and escaped.
func (s *speller) both(at int, kind byte) {
	switch {
	case at >= len(s.text):
		s.open = true
		return
	case !isIntroducer(s.text[at]):
		return
	}
	all := speller{text: s.text, limit: s.limit}
	all.escape(s.text[at], at+1, 0, 0)
	s.open = s.open || all.open
	if s.text[at] == kind {
		s.emit(at+1, kind)
	}
	for i := range all.count {
		if u := &all.units[i]; u.n == 1 && u.val[0] == kind {
			s.emit(u.end, kind)
		}
	}
}

// reference reads an HTML character reference (WHATWG HTML section 13.5), with or without its semicolon.
func (s *speller) reference(at, nested int, within byte) {
	_, next, ok := s.pick(at, nested, within, one('#'))
	if !ok {
		s.named(at, nested, within)
		return
	}
	base, high := rune(10), maxSpelling
	if _, after, ok := s.pick(next, nested, within, func(c byte) bool { return c|fold == 'x' }); ok {
		base, next = 16, after
	}
	v, next, ok := s.number(next, nested, within, base, high)
	if !ok {
		return
	}
	end := s.semicolon(next, nested, within)
	s.emitRune(end, v)
	if 0x80 <= v && v < 0xa0 { // they are read as Windows' characters
		s.emit(end, []byte(html.UnescapeString("&#"+strconv.Itoa(int(v))+";"))...)
	}
}

// semicolon takes one, if it is there.
func (s *speller) semicolon(at, nested int, within byte) int {
	_, end, _ := s.pick(at, nested, within, one(';'))
	return end
}

// maxName is the longest name of a character reference, in bytes.
const maxName = 32

// named reads a name. Without a semicolon it may end anywhere.
func (s *speller) named(at, nested int, within byte) {
	var name [maxName]byte
	n := 0
	for n < maxName {
		c, next, ok := s.pick(at, nested, within, alphanumeric)
		if !ok {
			break
		}
		name[n], at = c, next
		n++
		if n > 1 {
			if c, known := names[string(name[:n])]; known {
				s.emit(s.semicolon(at, nested, within), c)
			}
		}
	}
	if n < 2 {
		return
	}
	if _, end, ok := s.pick(at, nested, within, one(';')); ok {
		if r := html.UnescapeString("&" + string(name[:n]) + ";"); r[0] != '&' && len(r) <= utf8.UTFMax {
			s.emit(end, []byte(r)...)
		}
	}
}

// names are the character references to ASCII.
//
//nolint:gochecknoglobals // a constant table
var names = map[string]byte{
	"Tab": '\t', "NewLine": '\n', "excl": '!', "quot": '"', "QUOT": '"', "num": '#', "dollar": '$', "percnt": '%',
	"amp": '&', "AMP": '&',
	"apos": '\'', "lpar": '(', "rpar": ')', "ast": '*', "midast": '*', "plus": '+', "comma": ',', "period": '.',
	"sol": '/', "colon": ':',
	"semi": ';', "lt": '<', "LT": '<', "equals": '=', "gt": '>', "GT": '>', "quest": '?', "commat": '@',
	"lsqb": '[', "lbrack": '[',
	"bsol": '\\', "rsqb": ']', "rbrack": ']', "Hat": '^', "lowbar": '_', "UnderBar": '_', "grave": '`',
	"DiacriticalGrave": '`',
	"lcub":             '{', "lbrace": '{', "verbar": '|', "vert": '|', "VerticalLine": '|', "rcub": '}', "rbrace": '}',
}
