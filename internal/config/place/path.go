package place

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/config/wording"
)

// Path is the way to a value: ["services", "openai", "limits", "rate"].
type Path []string

// String is the dotted key: "services.openai.limits.rate".
func (p Path) String() string { return strings.Join(p, ".") }

// Child is the way on to a key below. It shares nothing with p.
func (p Path) Child(name string) Path {
	return append(append(make(Path, 0, len(p)+1), p...), name)
}

// In names the surroundings for a message: ` in credential of service "openai"`.
func (p Path) In() string {
	if len(p) == 0 {
		return ""
	}
	return " in " + p.Subject()
}

// Subject names what stands at p: `limits.rate of service "openai"`.
func (p Path) Subject() string {
	if len(p) < 2 {
		return p.String()
	}
	if i, err := strconv.Atoi(p[len(p)-1]); err == nil && len(p) > 3 {
		return fmt.Sprintf("entry %d of %s", i+1, p[:len(p)-1].Subject())
	}
	if len(p) > 4 && p[2] == "credentials" {
		return p[4:].shown() + " of " + p[:4].Subject()
	}
	kind, ok := map[string]string{
		"services": "service", "tokens": "token", "stores": "store", "rotations": "rotation",
	}[p[0]]
	if !ok {
		return p.String()
	}
	owner := kind + " " + wording.Show(p[1])
	if len(p) == 2 {
		return owner
	}
	return p[2:].shown() + " of " + owner
}

// shown is String without keys that may be secrets in the wrong place.
func (p Path) shown() string {
	out := slices.Clone(p)
	for i, name := range out {
		parts := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' })
		if slices.ContainsFunc(parts, func(part string) bool {
			return len(part) >= 16 && wording.MayBeSecret(part)
		}) || len(name) > 64 {
			out[i] = "…"
		}
	}
	return out.String()
}

// Subject is Path.Subject of a dotted key.
func Subject(key string) string { return Path(strings.Split(key, ".")).Subject() }
