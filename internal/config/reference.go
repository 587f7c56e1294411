package config

import (
	"bytes"
	_ "embed" // the example
	"fmt"
	"reflect"
	"strings"
)

//go:generate go test -count=1 -run ^TestGeneratedPages$ -update .

//go:embed example.yaml
var example []byte

// Example returns the commented example that stands in the reference. It loads as it is.
func Example() []byte { return bytes.Clone(example) }

const referenceHead = `# Configuration

<!-- Generated from the declaration in internal/config. Do not edit. -->

Sallyport reads ` + "`sallyport.yaml`" + ` (` + "`--config FILE`" + `) and every ` + "`services.d/*.yaml`" +
	` beside it, which holds more ` + "`services`" + ` and
` + "`tokens`" + `. Never a secret stands in them: secrets are named by reference, ` +
	"`ref+<store>://<path>#<field>`" + `, and put into the
store with ` + "`sallyport secret set NAME`" + `.

- ` + "`sallyport config check`" + ` reports every error with file, line and column; ` + "`config show`" +
	` says where each value comes
  from; ` + "`config schema`" + ` prints the JSON Schema for editors (` + "`# yaml-language-server: $schema=…`" +
	` in the first line).
- [credentials.md](credentials.md) has a worked example of each kind of credential, [presets.md](presets.md) the APIs that ship.
- A changed file is taken up without restart. A file with an error changes nothing: the old configuration stays.
- File names are relative to the folder of the file they stand in; ` + "`<data>/`" + ` is the data directory.
- Durations are written as ` + "`500ms`, `30s`, `5m`, `24h`, `90d`, `1d12h`" + `; sizes as ` +
	"`512`, `64KiB`, `10MiB`, `2GiB`" + `; rates as
  ` + "`50/s`, `100/m`, `1000/h`" + `.
- Anchors, aliases and ` + "`<<`" + ` merges work within a file. Unknown and doubled keys are errors.

## Example

`

// Reference returns docs/configuration.md: every key with its type, default, meaning and example.
func Reference(kinds Kinds) []byte {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	fmt.Fprintf(&b, "```yaml\n%s```\n", example)
	(&reference{&b, kinds, map[reflect.Type]string{}}).section(section{
		title: "Top level",
		doc:   "The keys of `sallyport.yaml`.", typ: reflect.TypeFor[Config](),
	})
	return b.Bytes()
}

type reference struct {
	b     *bytes.Buffer
	kinds Kinds

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
	fields, _ := fieldsOf(s.typ)
	all := r.kinds.familyOf(s.typ)
	fmt.Fprintf(r.b, "\n## %s\n\n%s\n", s.title, s.doc)
	if len(fields) == 0 {
		r.b.WriteString("\nIt has no keys of its own.\n")
		return
	}
	r.b.WriteString("\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n")
	var below []section
	for _, m := range all {
		below = append(below, m.section(s))
	}
	for i := range fields {
		f := &fields[i]
		key, inner := s.prefix+f.name, structWithin(f.typ)
		var title string
		if inner == nil {
			title = typeTitle(f.typ, f)
			if f.name == "kind" && all != nil {
				title = all.links(s)
			}
		} else if f.typ.Kind() == reflect.Slice && indexOf(fields, strings.TrimSuffix(f.name, "s")) < 0 {
			title = "list of [maps](#" + anchorOf(key+s.of) + ")"
			below = append(below, section{
				title: "`" + key + "`" + s.of, doc: f.doc, prefix: key + ".",
				typ: inner, of: s.of,
			})
		} else if f.typ.Kind() == reflect.Slice { // of the same maps as the key before it
			title = "list of [maps](#" + anchorOf(strings.TrimSuffix(key, "s")) + ")"
		} else {
			if f.typ.Kind() == reflect.Map {
				key += ".NAME"
			}
			if at, known := r.described[inner]; known && s.of != "" { // what several kinds have is described once
				fmt.Fprintf(r.b, "| `%s` | [map](#%s) | %s | %s |\n", f.name, at, code(f.def), cell(meaning(f)))
				continue
			}
			r.described[inner] = anchorOf(key + s.of)
			title = "[map](#" + anchorOf(key+s.of) + ")"
			below = append(below, section{
				title: "`" + key + "`" + s.of, doc: f.doc, prefix: key + ".",
				typ: inner, of: s.of,
			})
		}
		fmt.Fprintf(r.b, "| `%s` | %s | %s | %s |\n", f.name, title, code(f.def), cell(meaning(f)))
	}
	for _, next := range below {
		r.section(next)
	}
}

// section is that of a member's own keys, below that of what is of its kind.
func (m member) section(s section) section {
	doc := append([]string{m.summary}, m.notes...)
	if len(m.without) > 0 {
		doc = append(doc, "It takes no `"+strings.Join(m.without, "` and no `")+"`.")
	}
	doc = append(doc, m.page)
	return section{
		title: s.title + " of kind " + m.name, doc: strings.Join(doc, " "), prefix: s.prefix,
		typ: m.settings(), of: " of kind " + m.name,
	}
}

// links name the members, each with a link to its section.
func (f family) links(s section) string {
	out := make([]string, len(f))
	for i, m := range f {
		out[i] = "[`" + m.name + "`](#" + anchorOf(strings.TrimSuffix(s.prefix, ".")+" of kind "+m.name) + ")"
	}
	return strings.Join(out, ", ")
}

// anchorOf is how GitHub and most renderers name a heading.
func anchorOf(key string) string {
	return strings.ToLower(strings.NewReplacer(".", "", " ", "-").Replace(key))
}

// structWithin is the struct that a key's value consists of; nil for single values, lists and maps of single values.
func structWithin(t reflect.Type) reflect.Type {
	for {
		if isLeaf(t) {
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

func typeTitle(t reflect.Type, f *field) string {
	if l, ok := leafOf(t); ok {
		if len(f.enum) > 0 {
			return "`" + strings.Join(f.enum, "`, `") + "`"
		}
		if f.path != "" {
			return map[string]string{"file": "file name", "dir": "folder"}[f.path]
		}
		return l.title
	}
	if t.Kind() == reflect.Interface {
		return "map or list"
	}
	if t.Kind() == reflect.Map {
		return "map of " + typeTitle(t.Elem(), &field{}) + "s"
	}
	return "list of " + typeTitle(t.Elem(), &field{}) + "s"
}

func meaning(f *field) string {
	text := f.doc
	if f.needed != "" {
		text += " Required."
	}
	if f.eg != "" {
		text += " Example: `" + f.eg + "`."
	}
	switch {
	case f.min != "" && f.max != "":
		text += fmt.Sprintf(" From %s to %s.", f.min, f.max)
	case f.min != "" && f.min != "1":
		text += " At least " + f.min + "."
	case f.max != "":
		text += " At most " + f.max + "."
	}
	if len(f.later) > 0 {
		text += " Reserved for later versions: " + strings.Join(f.later, ", ") + "."
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
