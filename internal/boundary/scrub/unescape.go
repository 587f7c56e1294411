package scrub

// Unescape spells a text out once: every escape of a URL, of HTML, or of JSON and its kin is replaced by the longest of
// its readings. It is for short texts that are shown, and returns text itself, without allocation, when nothing in it
// is an escape.
func Unescape(text string) string {
	at := 0
	for ; at < len(text); at++ {
		if c := text[at]; c == '%' || c == '\\' || c == '&' && !separates(text[at+1:]) {
			break
		}
	}
	if at == len(text) {
		return text
	}
	in := []byte(text)
	var out []byte
	var s speller
	done := 0
	for ; at < len(in); at++ {
		if c := in[at]; c != '%' && c != '&' && c != '\\' {
			continue
		}
		if in[at] == '&' && separates(in[at+1:]) {
			continue
		}
		s.read(in, at)
		u, ok := s.longest()
		if !ok {
			continue
		}
		out = append(append(out, in[done:at]...), u.val[:u.n]...)
		done = u.end
		at = done - 1
	}
	if done == 0 {
		return text
	}
	return string(append(out, in[done:]...))
}

// separates tells whether an & before rest stands between two parameters of a query.
func separates[T string | []byte](rest T) bool {
	for i := range len(rest) {
		switch c := rest[i]; {
		case c == '=' || c == '&':
			return true
		case !isWord(c):
			return false
		}
	}
	return true
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '_' || c == '-' || c == '.'
}

// longest is the reading that takes in the most.
func (s *speller) longest() (u unit, ok bool) {
	for i := range s.count {
		if s.units[i].end > u.end {
			u, ok = s.units[i], true
		}
	}
	return u, ok
}
