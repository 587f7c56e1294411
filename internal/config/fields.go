package config

import (
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport/internal/config/notation"
	"sallyport/internal/secret"
)

// field is one key of the declaration.
type field struct {
	name, doc, def, eg, keys, path string
	url, lines, free               string
	needed, backend, inputs        string
	meant, yields                  []string
	enum, later                    []string
	min, max                       string
	index                          []int // as reflect.Value.FieldByIndex takes it
	typ                            reflect.Type
	defaults                       func() []reflect.Value // of def; parsed once, and shared
}

// declared is what the tags of a struct say.
type declared struct {
	keys     []field
	reserved []string
	settings int // the field with the keys of one kind; -1: there is none
}

// declarations are the structs that fieldsOf has read, by reflect.Type: a load asks some ten times for each service.
var declarations sync.Map

// fieldsOf returns the keys of a struct in order, and the reserved ones. Both are shared: do not change them.
func fieldsOf(t reflect.Type) (keys []field, reserved []string) {
	d := declaredBy(t)
	return d.keys, d.reserved
}

func declaredBy(t reflect.Type) *declared {
	if known, ok := declarations.Load(t); ok {
		if d, ok := known.(*declared); ok {
			return d
		}
	}
	d := readTags(t)
	declarations.Store(t, d)
	return d
}

func readTags(t reflect.Type) *declared {
	d := &declared{settings: -1}
	d.read(t, nil)
	return d
}

// read takes the keys of a struct; those of an embedded one stand among them. within is the way to the struct.
func (d *declared) read(t reflect.Type, within []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(within), i)
		names := strings.Fields(f.Tag.Get("yaml"))
		switch {
		case f.Name == "_":
			d.reserved = append(d.reserved, names...)
		case f.Tag.Get("of") != "":
			d.settings = i
		case f.Anonymous && len(names) == 0:
			d.read(f.Type, at)
		case len(names) > 0:
			d.keys = append(d.keys, readTag(names[0], &f, at))
			last := d.keys[len(d.keys)-1]
			d.keys[len(d.keys)-1].defaults = sync.OnceValue(last.parseDefaults)
		}
	}
}

func readTag(name string, f *reflect.StructField, at []int) field {
	return field{
		name: name, doc: f.Tag.Get("doc"), def: f.Tag.Get("default"), eg: f.Tag.Get("eg"),
		keys: f.Tag.Get("keys"), path: f.Tag.Get("path"), min: f.Tag.Get("min"), max: f.Tag.Get("max"),
		url: f.Tag.Get("url"), lines: f.Tag.Get("lines"), free: f.Tag.Get("free"), inputs: f.Tag.Get("inputs"),
		needed: f.Tag.Get("needed"), backend: f.Tag.Get("backend"),
		meant: strings.Fields(f.Tag.Get("meant")), yields: strings.Fields(f.Tag.Get("yields")),
		enum: strings.Fields(f.Tag.Get("enum")), later: strings.Fields(f.Tag.Get("later")), index: at, typ: f.Type,
	}
}

func names(fields []field) []string {
	out := make([]string, len(fields))
	for i := range fields {
		out[i] = fields[i].name
	}
	return out
}

// leaf describes a type that is written as one YAML value.
type leaf struct {
	title    string // for the reference
	pattern  string // for the schema; "" for booleans and numbers
	parse    func(string) (any, error)
	secretly bool // its text is never shown
}

// leafOf returns the description of a single-valued type; ok is false for structs, maps, lists and pointers to structs.
func leafOf(t reflect.Type) (leaf, bool) {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return leaf{
			title: "duration", pattern: `^([0-9]+d)?([0-9.]+(ns|us|µs|ms|s|m|h))*$`,
			parse: lift(notation.ParseDuration),
		}, true
	case reflect.TypeFor[notation.Size]():
		return leaf{title: "size", pattern: `^[0-9]+(KiB|MiB|GiB|TiB)?$`, parse: lift(notation.ParseSize)}, true
	case reflect.TypeFor[notation.Rate]():
		return leaf{title: "rate", pattern: `^[0-9]+ */ *[smh]$`, parse: lift(notation.ParseRate)}, true
	case reflect.TypeFor[netip.Prefix]():
		return leaf{title: "network", pattern: `^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$`, parse: lift(notation.ParsePrefix)},
			true
	case reflect.TypeFor[*url.URL]():
		return leaf{title: "URL", pattern: `^https?://[^/?#@]+[^?#]*$`, parse: lift(notation.ParseURL)}, true
	case reflect.TypeFor[secret.Ref]():
		return leaf{
			title: "secret reference", pattern: `^(ref\+[a-z0-9-]+://|op://|arn:).+$`, parse: lift(notation.ParseRef),
			secretly: true,
		}, true
	case reflect.TypeFor[notation.Text]():
		return leaf{title: "text or reference", parse: lift(notation.ParseText)}, true
	case reflect.TypeFor[notation.Rule]():
		return leaf{title: "rule", pattern: `^(\*|[A-Z-]+(,[A-Z-]+)*) +/\S*$`, parse: lift(notation.ParseRule)}, true
	}
	switch t.Kind() { //nolint:exhaustive // the rest are not leaves
	case reflect.String:
		return leaf{title: "string", parse: func(s string) (any, error) { return s, nil }}, true
	case reflect.Bool:
		return leaf{title: "true or false", parse: lift(notation.ParseBool)}, true
	case reflect.Int:
		return leaf{title: "number", parse: lift(notation.ParseInt)}, true
	}
	return leaf{}, false
}

// of is the leaf as the field narrows it.
func (l leaf) of(f *field) leaf {
	if f.url == "proxy" {
		l.pattern, l.parse = `^(http|socks5)://[^/?#@]+/?$`, lift(notation.ParseProxy)
	}
	return l
}

func lift[T any](parse func(string) (T, error)) func(string) (any, error) {
	return func(s string) (any, error) { return parse(s) }
}

// formatLeaf writes a value as leafOf's parse reads it.
func formatLeaf(v reflect.Value) string {
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
