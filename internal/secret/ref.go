package secret

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Ref names a secret: ref+<store>://<path>[?version=N][#<field>], the convention of vals. Field is a key (or a JSON
// pointer when it begins with a slash) inside a JSON object. Version "" is the current one.
//
// Path and Field are the names as the store has them. In a reference a byte of the path may be written as %XX, and what
// is a part of the notation has to be: a percent sign, '?', '#', and a character of noPlain. That is the one spelling
// for any path, and the same for all stores; a name without such characters stands as it is.
type Ref struct {
	Store   string
	Path    string
	Version string
	Field   string
}

// maxRef bounds a reference, which comes from configuration files.
const maxRef = 2048

// ParseRef reads a reference strictly. The error quotes s only when it looks like a reference: a person may have put
// the secret itself there.
func ParseRef(s string) (Ref, error) {
	rest, ok := strings.CutPrefix(s, "ref+")
	if !ok {
		return Ref{},
			fmt.Errorf("not a secret reference: want ref+<store>://<path>#<field>, and never the secret itself")
	}
	if len(s) > maxRef {
		return Ref{}, fmt.Errorf("a secret reference has at most %d bytes", maxRef)
	}
	store, rest, ok := strings.Cut(rest, "://")
	if !ok || !isName(store) {
		return Ref{},
			fmt.Errorf("reading reference %q: want ref+<store>://<path>, the store's name in a-z, 0-9 and '-'", s)
	}
	r := Ref{Store: store}
	rest, r.Field, _ = strings.Cut(rest, "#")
	path, query, hasQuery := strings.Cut(rest, "?")
	if hasQuery {
		version, err := refVersion(query)
		if err != nil {
			return Ref{}, fmt.Errorf("reading reference %q: %w", s, err)
		}
		r.Version = version
	}
	var err error
	if r.Path, err = readPath(path); err != nil {
		return Ref{}, fmt.Errorf("reading reference %q: %w", s, err)
	}
	if strings.HasSuffix(s, "#") || hasControl(r.Field) {
		return Ref{}, fmt.Errorf("reading reference %q: the field after '#' is empty or has control characters", s)
	}
	if _, err := fieldPointer(r.Field); err != nil {
		return Ref{}, fmt.Errorf("reading reference %q: the field after '#' %w", s, err)
	}
	if _, err := fieldPointer(r.Field); err != nil {
		return Ref{}, fmt.Errorf("reading reference %q: the field after '#' %w", s, err)
	}
	return r, nil
}

func refVersion(query string) (string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", fmt.Errorf("the part after '?' is not a query")
	}
	for key, list := range values {
		if key != "version" || len(list) != 1 || list[0] == "" || hasControl(list[0]) {
			return "", fmt.Errorf("the only parameter is version=…, once")
		}
	}
	return values.Get("version"), nil
}

// noPlain are the characters that a path has only in their %XX form: blanks, so that a reference is one word, and what
// URLs do not have either (RFC 3986 section 2).
const noPlain = " \"'<>\\^`{|}"

// readPath reads a path as it stands in a reference.
func readPath(text string) (string, error) {
	if strings.ContainsAny(text, noPlain) {
		return "",
			fmt.Errorf("the path has a blank or another character that is written as %%XX in a reference: a blank as " +
				"%%20")
	}
	path, err := url.PathUnescape(text)
	if err != nil {
		return "", fmt.Errorf("the path has a %% that is not followed by two hexadecimal digits: a percent sign of a " +
			"name is written as %%25")
	}
	return path, checkPath(path)
}

// checkPath looks at a path as the store gets it.
func checkPath(path string) error {
	if path == "" || hasControl(path) || !utf8.ValidString(path) {
		return fmt.Errorf("the path is empty or has control characters")
	}
	for seg := range strings.SplitSeq(path, "/") {
		if seg == ".." || seg == "." {
			return fmt.Errorf("the path has a dot segment")
		}
	}
	return nil
}

// writePath writes a path so that readPath reads it.
func writePath(path string) string {
	if !strings.ContainsAny(path, noPlain+"%?#") {
		return path
	}
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; strings.IndexByte(noPlain+"%?#", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\uFFFD' })
}

// String writes the reference as ParseRef reads it.
func (r Ref) String() string {
	if r == (Ref{}) {
		return ""
	}
	s := "ref+" + r.Store + "://" + writePath(r.Path)
	if r.Version != "" {
		s += "?version=" + url.QueryEscape(r.Version)
	}
	if r.Field != "" {
		s += "#" + r.Field
	}
	return s
}

// IsZero tells whether no secret is named.
func (r Ref) IsZero() bool { return r == Ref{} }

// MarshalText writes the reference.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRef for decoders.
func (r *Ref) UnmarshalText(text []byte) error {
	parsed, err := ParseRef(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}
