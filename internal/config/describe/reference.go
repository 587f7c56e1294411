// Package describe writes what the declaration of a configuration says, for people and for editors: the tables of the
// reference, and the JSON Schema.
//
// It reads the tags of whatever struct it is handed, and knows no key by name but kind, which says of which kind a
// struct is.
package describe

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sallyport/internal/config/declare"
)

// Families returns the kinds that a struct can be of; none if it is of no kind.
type Families func(reflect.Type) declare.Family

// Reference returns the tables of every key of a struct and of those below it: type, default, meaning and example. The
// first is headed "Top level", and doc stands below that.
func Reference(of reflect.Type, doc string, families Families) []byte {
	var b bytes.Buffer
	(&reference{&b, families, map[reflect.Type]string{}}).section(section{title: "Top level", doc: doc, typ: of})
	return b.Bytes()
}

type reference struct {
	b        *bytes.Buffer
	families Families

	described map[reflect.Type]string // anchors
}

type section struct {
	title, doc string
	prefix     string
	of         string // " of kind KIND" for the keys that go with one kind alone
	typ        reflect.Type
}

// section writes the table of one struct, then the sections below it.
func (r *reference) section(s section) {
	fields, _ := declare.Keys(s.typ)
	all := r.families(s.typ)
	fmt.Fprintf(r.b, "\n## %s\n\n%s\n", s.title, s.doc)
	if len(fields) == 0 {
		r.b.WriteString("\nIt has no keys of its own.\n")
		return
	}
	r.b.WriteString("\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n")
	var below []section
	for _, m := range all {
		below = append(below, ofMember(m, s))
	}
	for i := range fields {
		f := &fields[i]
		key, inner := s.prefix+f.Name, structWithin(f.Type)
		var title string
		if inner == nil {
			title = typeTitle(f.Type, f)
			if f.Name == "kind" && all != nil {
				title = links(all, s)
			}
		} else if f.Type.Kind() == reflect.Slice && declare.IndexOf(fields, strings.TrimSuffix(f.Name, "s")) < 0 {
			title = "list of [maps](#" + Anchor(key+s.of) + ")"
			below = append(below, section{
				title: "`" + key + "`" + s.of, doc: f.Doc, prefix: key + ".",
				typ: inner, of: s.of,
			})
		} else if f.Type.Kind() == reflect.Slice { // of the same maps as the key before it
			title = "list of [maps](#" + Anchor(strings.TrimSuffix(key, "s")) + ")"
		} else {
			if f.Type.Kind() == reflect.Map {
				key += ".NAME"
			}
			if at, known := r.described[inner]; known && s.of != "" { // what several kinds have is described once
				fmt.Fprintf(r.b, "| `%s` | [map](#%s) | %s | %s |\n", f.Name, at, code(f.Def), cell(meaning(f, nil)))
				continue
			}
			r.described[inner] = Anchor(key + s.of)
			title = "[map](#" + Anchor(key+s.of) + ")"
			below = append(below, section{
				title: "`" + key + "`" + s.of, doc: f.Doc, prefix: key + ".",
				typ: inner, of: s.of,
			})
		}
		fmt.Fprintf(r.b, "| `%s` | %s | %s | %s |\n", f.Name, title, code(f.Def), cell(meaning(f, all)))
	}
	for _, next := range below {
		r.section(next)
	}
}

// ofMember is the section of a member's own keys, below that of what is of its kind.
func ofMember(m declare.Member, s section) section {
	doc := append([]string{m.Summary}, m.Notes...)
	if len(m.Without) > 0 {
		doc = append(doc, "It takes no `"+strings.Join(m.Without, "` and no `")+"`.")
	}
	doc = append(doc, m.Page)
	return section{
		title: s.title + " of kind " + m.Name, doc: strings.Join(doc, " "), prefix: s.prefix,
		typ: m.Settings(), of: " of kind " + m.Name,
	}
}

// links name the members, each with a link to its section.
func links(f declare.Family, s section) string {
	out := make([]string, len(f))
	for i, m := range f {
		out[i] = "[`" + m.Name + "`](#" + Anchor(strings.TrimSuffix(s.prefix, ".")+" of kind "+m.Name) + ")"
	}
	return strings.Join(out, ", ")
}

// Anchor is how GitHub and most renderers name a heading.
func Anchor(key string) string {
	return strings.ToLower(strings.NewReplacer(".", "", " ", "-").Replace(key))
}

// structWithin is the struct that a key's value consists of; nil for single values, lists and maps of single values.
func structWithin(t reflect.Type) reflect.Type {
	for {
		if declare.IsLeaf(t) {
			return nil
		}
		switch t.Kind() {
		case reflect.Struct:
			return t
		case reflect.Pointer, reflect.Map, reflect.Slice:
			t = t.Elem()
		default:
			return nil
		}
	}
}

func typeTitle(t reflect.Type, f *declare.Field) string {
	if l, ok := declare.LeafOf(t); ok {
		if len(f.Enum) > 0 {
			return "`" + strings.Join(f.Enum, "`, `") + "`"
		}
		if f.Path != "" {
			return map[string]string{"file": "file name", "dir": "folder"}[f.Path]
		}
		return l.Title
	}
	if t.Kind() == reflect.Interface {
		return "map or list"
	}
	if t.Kind() == reflect.Map {
		return "map of " + typeTitle(t.Elem(), &declare.Field{}) + "s"
	}
	return "list of " + typeTitle(t.Elem(), &declare.Field{}) + "s"
}

// docOf is what the declaration says of a key of a struct that is of one of all.
func docOf(f *declare.Field, all declare.Family) string {
	if i := slices.IndexFunc(all, func(m declare.Member) bool { return m.Usual != "" }); f.Name == "kind" && i >= 0 {
		return f.Doc + " Default: " + all[i].Name + ", " + all[i].Usual + "."
	}
	return f.Doc
}

func meaning(f *declare.Field, all declare.Family) string {
	text := docOf(f, all)
	if f.Needed != "" {
		text += " Required."
	}
	if f.Eg != "" {
		text += " Example: `" + f.Eg + "`."
	}
	switch {
	case f.Min != "" && f.Max != "":
		text += fmt.Sprintf(" From %s to %s.", f.Min, f.Max)
	case f.Min != "" && f.Min != "1":
		text += " At least " + f.Min + "."
	case f.Max != "":
		text += " At most " + f.Max + "."
	}
	if len(f.Later) > 0 {
		text += " Reserved for later versions: " + strings.Join(f.Later, ", ") + "."
	}
	return text
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// cell keeps a text inside a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
