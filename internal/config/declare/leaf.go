package declare

import (
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"sallyport/internal/config/notation"
	"sallyport/internal/secret"
)

// Leaf describes a type that is written as one YAML value.
type Leaf struct {
	Title    string // for the reference
	Pattern  string // for the schema; "" for booleans and numbers
	parse    func(string) (any, error)
	Secretly bool // its text is never shown
}

// LeafOf returns the description of a single-valued type; ok is false for structs, maps, lists and pointers to structs.
func LeafOf(t reflect.Type) (Leaf, bool) {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return Leaf{
			Title: "duration", Pattern: `^([0-9]+d)?([0-9.]+(ns|us|µs|ms|s|m|h))*$`,
			parse: lift(notation.ParseDuration),
		}, true
	case reflect.TypeFor[notation.Size]():
		return Leaf{Title: "size", Pattern: `^[0-9]+(KiB|MiB|GiB|TiB)?$`, parse: lift(notation.ParseSize)}, true
	case reflect.TypeFor[notation.Rate]():
		return Leaf{Title: "rate", Pattern: `^[0-9]+ */ *[smh]$`, parse: lift(notation.ParseRate)}, true
	case reflect.TypeFor[netip.Prefix]():
		return Leaf{Title: "network", Pattern: `^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$`, parse: lift(notation.ParsePrefix)},
			true
	case reflect.TypeFor[*url.URL]():
		return Leaf{Title: "URL", Pattern: `^https?://[^/?#@]+[^?#]*$`, parse: lift(notation.ParseURL)}, true
	case reflect.TypeFor[secret.Ref]():
		return Leaf{
			Title: "secret reference", Pattern: `^(ref\+[a-z0-9-]+://|op://|arn:).+$`, parse: lift(notation.ParseRef),
			Secretly: true,
		}, true
	case reflect.TypeFor[notation.Text]():
		return Leaf{Title: "text or reference", parse: lift(notation.ParseText)}, true
	case reflect.TypeFor[notation.Rule]():
		return Leaf{Title: "rule", Pattern: `^(\*|[A-Z-]+(,[A-Z-]+)*) +/\S*$`, parse: lift(notation.ParseRule)}, true
	}
	switch t.Kind() { //nolint:exhaustive // the rest are not leaves
	case reflect.String:
		return Leaf{Title: "string", parse: func(s string) (any, error) { return s, nil }}, true
	case reflect.Bool:
		return Leaf{Title: "true or false", parse: lift(notation.ParseBool)}, true
	case reflect.Int:
		return Leaf{Title: "number", parse: lift(notation.ParseInt)}, true
	}
	return Leaf{}, false
}

// Of is the leaf as the field narrows it.
func (l Leaf) Of(f *Field) Leaf {
	if f.URL == "proxy" {
		l.Pattern, l.parse = `^(http|socks5)://[^/?#@]+/?$`, lift(notation.ParseProxy)
	}
	return l
}

func lift[T any](parse func(string) (T, error)) func(string) (any, error) {
	return func(s string) (any, error) { return parse(s) }
}

// Format writes a value as leafOf's parse reads it.
func Format(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return notation.FormatDuration(x)
	case secret.Ref:
		return x.String()
	case *url.URL:
		if x == nil {
			return ""
		}
		return x.String()
	case interface{ String() string }:
		return x.String()
	}
	switch v.Kind() { //nolint:exhaustive // the rest are not leaves
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	}
	return v.String()
}

// IsLeaf tells whether values of a type are written as one YAML value.
func IsLeaf(t reflect.Type) bool { _, ok := LeafOf(t); return ok }
