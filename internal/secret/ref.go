package secret

import (
	"fmt"
	"net/url"
	"strings"
)

// Ref names a secret: ref+<store>://<path>[?version=N][#<field>], the convention of vals. Field is a key (or a JSON pointer
// when it begins with a slash) inside a JSON object. Version "" is the current one.
type Ref struct {
	Store   string
	Path    string
	Version string
	Field   string
}

// maxRef bounds a reference, which comes from configuration files.
const maxRef = 2048

// ParseRef reads a reference strictly. The error quotes s only when it looks like a reference: a person may have put the
// secret itself there.
func ParseRef(s string) (Ref, error) {
	rest, ok := strings.CutPrefix(s, "ref+")
	if !ok {
		return Ref{}, fmt.Errorf("not a secret reference: want ref+<store>://<path>#<field>, and never the secret itself")
	}
	if len(s) > maxRef {
		return Ref{}, fmt.Errorf("a secret reference has at most %d bytes", maxRef)
	}
	store, rest, ok := strings.Cut(rest, "://")
	if !ok || !isName(store) {
		return Ref{}, fmt.Errorf("reading reference %q: want ref+<store>://<path>, the store's name in a-z, 0-9 and '-'", s)
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
	r.Path = path
	if err := checkPath(path); err != nil {
		return Ref{}, fmt.Errorf("reading reference %q: %w", s, err)
	}
	if strings.HasSuffix(s, "#") || hasControl(r.Field) {
		return Ref{}, fmt.Errorf("reading reference %q: the field after '#' is empty or has control characters", s)
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

func checkPath(path string) error {
	if path == "" || hasControl(path) || strings.ContainsAny(path, " \"'<>\\^`{|}") {
		return fmt.Errorf("the path is empty or has characters that no reference needs")
	}
	for seg := range strings.SplitSeq(path, "/") {
		if seg == ".." || seg == "." {
			return fmt.Errorf("the path has a dot segment")
		}
	}
	return nil
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
	s := "ref+" + r.Store + "://" + r.Path
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
