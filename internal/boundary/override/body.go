package override

import (
	"encoding/json"
	"strings"
)

// The bounds of what is kept of a body, in bytes. A name that is longer is none of ours; a line of a multipart head
// that is longer is taken for a disguise.
const (
	maxName = 256
	maxLine = 8 << 10
)

// Body looks for a field that names a method in the body of a POST, as it streams. It is for forms (also where no type
// is given: Rack reads those as forms), for multipart forms, and for JSON objects (which Laravel reads like forms). It
// is used by one goroutine at a time.
type Body struct {
	scanners []scanner
	coded    bool
	found    bool
}

// scanner reads on and tells whether a field that names a method is in what it has seen so far.
type scanner interface {
	scan(p []byte) bool
}

// NewBody returns a Body for the values of Content-Type and Content-Encoding, or nil if no server reads such a body for
// fields.
func NewBody(contentTypes, codings []string) *Body {
	b := &Body{}
	kinds := strings.ToLower(strings.Join(contentTypes, ","))
	form := strings.TrimSpace(kinds) == "" || strings.Contains(kinds, "form-urlencoded")
	multi := strings.Contains(kinds, "multipart/")
	if form {
		b.scanners = append(b.scanners, &formScanner{})
	}
	if multi {
		b.scanners = append(b.scanners, &partScanner{})
	}
	if strings.Contains(kinds, "json") {
		b.scanners = append(b.scanners, &jsonScanner{})
	}
	if len(b.scanners) == 0 {
		return nil
	}
	for _, coding := range codings {
		b.coded = b.coded || (form || multi) && coding != "" && !strings.EqualFold(coding, "identity")
	}
	return b
}

// Coded tells that the body is a form in a content coding: some servers decode it, and it cannot be looked into.
func (b *Body) Coded() bool { return b.coded }

// Found reads on, and tells whether a field that names a method has been seen. Whoever passes p on only after Found has
// said no never passes on the whole of such a field: what a server has got when the body breaks off is no form yet.
func (b *Body) Found(p []byte) bool {
	for _, s := range b.scanners {
		b.found = b.found || s.scan(p)
	}
	return b.found
}

// formScanner reads application/x-www-form-urlencoded.
type formScanner struct {
	name    []byte
	inValue bool
}

func (s *formScanner) scan(p []byte) bool {
	for _, c := range p {
		switch {
		case c == '&' || c == ';' || c == '=' && !s.inValue:
			if !s.inValue && dedicatedField(unescape(string(s.name))) {
				return true
			}
			s.name, s.inValue = s.name[:0], c == '='
		case s.inValue:
		case len(s.name) < maxName:
			s.name = append(s.name, c)
		case strings.TrimSpace(unescape(string(s.name))) == "": // PHP cuts blanks before a name, however many
			return true
		}
	}
	return false
}

// dedicatedField is dedicated for a field of a body, where httpMethod has other meanings (Amazon's API Gateway).
func dedicatedField(name string) bool {
	name = strings.TrimLeft(name, " \t\r\n")
	if name == "" || !speaksOfMethod(name) {
		return false
	}
	switch letters(name) {
	case "httpmethod", "xmethod":
		return name[0] == '_'
	}
	return dedicated(name)
}

// partScanner reads the heads of a multipart body's parts: the lines that begin with Content-Disposition, and those
// they are folded over. It does not follow the boundary: a line like that in a file's content is none that a person
// uploads.
type partScanner struct {
	line  []byte
	skip  bool // this line is none of those
	ended bool // the last byte was a line feed
}

const disposition = "content-disposition"

func (s *partScanner) scan(p []byte) bool {
	for _, c := range p {
		if s.ended {
			s.ended = false
			if s.skip || c != ' ' && c != '\t' { // not folded: a line of its own
				s.skip, s.line = false, s.line[:0]
			}
		}
		switch n := len(s.line); {
		case c == '\n':
			if s.ended = true; !s.skip && namesMethod(string(s.line)) {
				return true
			}
		case s.skip:
		case n < len(disposition) && c|0x20 != disposition[n]|0x20:
			s.skip = true
		case n >= maxLine:
			return true
		default:
			s.line = append(s.line, c)
		}
	}
	return false
}

// namesMethod looks at the parameters of a Content-Disposition line, in whatever way they are quoted or encoded (RFC
// 2231).
func namesMethod(line string) bool {
	line = strings.NewReplacer(`"`, "", `\`, "", "\r", "", "\n", "").Replace(unescape(line))
	for rest := line; ; {
		i := indexFold(rest, "name")
		if i < 0 {
			return false
		}
		before := i > 0 && isAlnum(rest[i-1]) // filename
		rest = rest[i+len("name"):]
		value := strings.TrimLeft(rest, " \t")
		extended, continued := false, false
		for value != "" && (value[0] == '*' || '0' <= value[0] && value[0] <= '9') {
			extended, continued = true, continued || value[0] != '*'
			value = value[1:]
		}
		value, ok := strings.CutPrefix(strings.TrimLeft(value, " \t"), "=")
		if before || !ok {
			continue
		}
		if continued {
			return true
		}
		value, _, _ = strings.Cut(value, ";")
		if extended {
			value = value[strings.LastIndexByte(value, '\'')+1:]
		}
		if dedicatedField(strings.Trim(value, " \t'")) {
			return true
		}
	}
}

func indexFold(s, lower string) int {
	for i := 0; i+len(lower) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(lower)], lower) {
			return i
		}
	}
	return -1
}

// jsonScanner reads the names in the outermost object.
type jsonScanner struct {
	text    []byte // of the string that is being read
	depth   int
	inText  bool
	escaped bool
	key     bool // the last mark was { or , and a name can follow
}

func (s *jsonScanner) scan(p []byte) bool {
	for _, c := range p {
		if s.inText {
			if s.character(c) {
				return true
			}
			continue
		}
		switch c {
		case '"':
			s.inText, s.text = true, s.text[:0]
		case '{', '[':
			s.depth++
			s.key = c == '{'
		case '}', ']':
			s.depth--
			s.key = false
		case ',':
			s.key = true
		case ':':
			s.key = false
		}
	}
	return false
}

// character reads one byte of a string, and judges the string at its end.
func (s *jsonScanner) character(c byte) bool {
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		s.inText = false
		return s.depth == 1 && s.key && len(s.text) < maxName && s.isMethod()
	}
	if s.depth == 1 && s.key && len(s.text) < maxName {
		s.text = append(s.text, c)
	}
	return false
}

func (s *jsonScanner) isMethod() bool {
	var name string
	return json.Unmarshal([]byte(`"`+string(s.text)+`"`), &name) == nil && dedicatedField(name)
}
