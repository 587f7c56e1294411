package service

import "strings"

// PathForm says what a service's paths may have that others' may not.
type PathForm struct {
	EncodedSlash bool // %2F
	DoubleSlash  bool // empty segments
}

// CheckPath judges an escaped path before anything is resolved, matched or dialled. It returns what is wrong with it,
// or "". What it refuses is what some server behind some proxy reads as another path than the one the rules were
// matched against.
func CheckPath(path string, form PathForm) string {
	encodedSlash := form.EncodedSlash
	if path == "" || path[0] != '/' {
		return "the path does not begin with a slash"
	}
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>^`{|}", c) >= 0:
			return "the path has a character that must be percent-encoded"
		case c == '/' && i+1 < len(path) && path[i+1] == '/' && !form.DoubleSlash:
			return "the path has an empty segment (set `double_slash: true` if the API needs //)"
		case c == '%':
			if why := checkEscape(path[i:], encodedSlash); why != "" {
				return why
			}
		}
	}
	if hasDots(path, encodedSlash) {
		return "the path has a dot segment"
	}
	if overlong(path) {
		return "the path has an overlong form of a character (%c0%ae is read as a dot by some servers)"
	}
	if strings.Contains(path, "%25") && doubleTrick(unescape(path), encodedSlash) {
		return "the path has a doubly encoded dot or slash"
	}
	return ""
}

// hasDots tells whether a segment is a dot segment, also between encoded slashes where those may stand.
func hasDots(path string, encodedSlash bool) bool {
	if encodedSlash {
		path = strings.ReplaceAll(strings.ReplaceAll(path, "%2f", "/"), "%2F", "/")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if isDots(segment) {
			return true
		}
	}
	return false
}

// checkEscape judges the percent-encoding that s begins with.
func checkEscape(s string, encodedSlash bool) string {
	if len(s) < 3 || !isHex(s[1]) || !isHex(s[2]) {
		return "the path has a broken percent-encoding"
	}
	switch b := unhex(s[1])<<4 | unhex(s[2]); {
	case b == '/' && encodedSlash:
		return ""
	case b == '/' || b == '\\':
		return "the path has an encoded slash (set `encoded_slash: true` if the API needs it)"
	case b < ' ' || b == 0x7f:
		return "the path has an encoded control character"
	}
	return ""
}

// doubleTrick tells whether a path that was decoded once would become another path if it were decoded again.
func doubleTrick(decoded string, encodedSlash bool) bool {
	if hasDots(decoded, encodedSlash) || overlong(decoded) {
		return true
	}
	for i := 0; i+2 < len(decoded); i++ {
		if decoded[i] == '%' && decoded[i+1]|0x20 == 'u' { // %u002e, which only old servers read
			return true
		}
		if decoded[i] != '%' || !isHex(decoded[i+1]) || !isHex(decoded[i+2]) {
			continue
		}
		switch b := unhex(decoded[i+1])<<4 | unhex(decoded[i+2]); {
		case b == '.' || b == '/' || b == '\\' || b == '%' || b < ' ' || b == 0x7f:
			return true
		}
	}
	return false
}

// overlong tells whether an escaped path has bytes that decoders of old read as a character which has a shorter form
// (RFC 3629 section 3): a dot, a slash, or anything else that a rule was matched against.
func overlong(path string) bool {
	for i := 0; i+5 < len(path); i++ {
		first, second := escapedByte(path[i:]), escapedByte(path[i+3:])
		switch {
		case second < 0x80 || second > 0xbf:
		case first == 0xc0, first == 0xc1, first == 0xe0 && second < 0xa0, first == 0xf0 && second < 0x90,
			first >= 0xf8 && second < 0x88:
			return true
		}
	}
	return false
}

// escapedByte is the byte whose escape s begins with, or 0.
func escapedByte(s string) byte {
	if len(s) < 3 || s[0] != '%' || !isHex(s[1]) || !isHex(s[2]) {
		return 0
	}
	return unhex(s[1])<<4 | unhex(s[2])
}

// unescape decodes once; every percent sign of s begins a valid escape.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isDots tells whether a segment is . or .., also in encoded form and with path parameters (..;x), which some servers
// cut.
func isDots(segment string) bool {
	segment, _, _ = strings.Cut(segment, ";")
	dots := 0
	for segment != "" {
		switch {
		case segment[0] == '.':
			segment = segment[1:]
		case len(segment) >= 3 && segment[0] == '%' && segment[1] == '2' && (segment[2] == 'e' || segment[2] == 'E'):
			segment = segment[3:]
		case len(segment) >= 3 && strings.EqualFold(segment[:3], "%3b"):
			return dots == 1 || dots == 2
		default:
			return false
		}
		dots++
	}
	return dots == 1 || dots == 2
}

// CheckQuery judges a raw query. A % that begins no escape passes as it is: servers take it for itself, as the WHATWG's
// URL standard says (percent-decode), and n8n sends it. %u and four digits do not: old servers read a character there
// that nobody here looked at.
func CheckQuery(query string) string {
	for i := 0; i < len(query); i++ {
		switch c := query[i]; {
		case c <= ' ' || c >= 0x7f:
			return "the query has a character that must be percent-encoded"
		case c == '%' && i+5 < len(query) && query[i+1]|0x20 == 'u' && isHex(query[i+2]) && isHex(query[i+3]) &&
			isHex(query[i+4]) && isHex(query[i+5]):
			return "the query has a percent-encoding (%uXXXX) that servers read in different ways"
		}
	}
	return ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	default:
		return c - 'A' + 10
	}
}
