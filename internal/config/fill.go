package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/finding"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
	"sallyport/internal/config/wording"
)

// filler puts inputs in the places of their names in braces, and makes the paths of URLs whole.
type filler struct {
	cfg     *Config
	rep     *finding.Report
	service *Service
	preset  *preset.Preset
	cred    *Credential
	key     string // of the credential

	inputs  Inputs
	used    map[string]bool
	missing map[string]bool
}

func (f *filler) fill() {
	if f.cred.Settings == nil {
		return
	}
	f.used, f.missing = map[string]bool{}, map[string]bool{}
	own := reflect.ValueOf(f.cred.Settings).Elem()
	f.inputs = inputsIn(own)
	f.texts(own, place.Path(strings.Split(f.key, ".")))
	f.unused()
}

// inputsIn returns the inputs of settings; nil where their kind takes none.
func inputsIn(settings reflect.Value) Inputs {
	fields, _ := declare.Keys(settings.Type())
	for i := range fields {
		if in, ok := reflect.TypeAssert[Inputs](settings.FieldByIndex(fields[i].Index)); ok {
			return in
		}
	}
	return nil
}

// texts walks a value of the declaration and fills every Text in it, and what else has the tag inputs. v is settable.
func (f *filler) texts(v reflect.Value, path place.Path) {
	if t, ok := reflect.TypeAssert[notation.Text](v); ok {
		v.Set(reflect.ValueOf(f.text(path.String(), t)))
		return
	}
	switch v.Kind() { //nolint:exhaustive // Texts stand nowhere else
	case reflect.Struct:
		fields, _ := declare.Keys(v.Type())
		for i := range fields {
			f.field(v.FieldByIndex(fields[i].Index), &fields[i], path.Child(fields[i].Name))
		}
	case reflect.Pointer:
		if !v.IsNil() && !declare.IsLeaf(v.Type()) {
			f.texts(v.Elem(), path)
		}
	case reflect.Map:
		for _, name := range declare.MapKeys(v) {
			if t, ok := reflect.TypeAssert[notation.Text](v.MapIndex(reflect.ValueOf(name))); ok {
				v.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(f.text(path.Child(name).String(), t)))
			}
		}
	case reflect.Interface:
		if !v.IsNil() {
			v.Set(reflect.ValueOf(f.tree(path.String(), v.Interface())))
		}
	}
}

// field fills a key's value. What inputs say is taken as it is.
func (f *filler) field(v reflect.Value, of *declare.Field, path place.Path) {
	switch {
	case v.Type() == reflect.TypeFor[Inputs]():
	case of.Inputs == "":
		f.texts(v, path)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.AppendSlice(reflect.Zero(v.Type()), v)) // it may be a preset's
		for i := range v.Len() {
			f.plain(path.String(), v.Index(i))
		}
	case of.Inputs == "url":
		f.url(path.String(), v)
	case of.Inputs == "around":
		f.around(path.String(), v)
	default:
		f.plain(path.String(), v)
	}
}

func (f *filler) tree(key string, node any) any {
	switch n := node.(type) {
	case notation.Text:
		return f.text(key, n)
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(n)) {
			n[name] = f.tree(key+"."+name, n[name])
		}
	case []any:
		for i := range n {
			n[i] = f.tree(key+"."+strconv.Itoa(i), n[i])
		}
	}
	return node
}

// text replaces the names in braces of a Text.
func (f *filler) text(key string, t notation.Text) notation.Text {
	if !slices.ContainsFunc(t, func(p notation.TextPart) bool { return strings.Contains(p.Plain, "{") }) {
		return t
	}
	var out notation.Text
	add := func(p notation.TextPart) {
		if last := len(out) - 1; last >= 0 && p.Ref.IsZero() && out[last].Ref.IsZero() {
			out[last].Plain += p.Plain
		} else if !p.Ref.IsZero() || p.Plain != "" {
			out = append(out, p)
		}
	}
	for _, p := range t {
		rest := p.Plain
		for _, at := range inputName.FindAllString(p.Plain, -1) {
			before, after, _ := strings.Cut(rest, at)
			add(notation.TextPart{Plain: before})
			for _, q := range f.input(key, strings.Trim(at, "{}")) {
				add(q)
			}
			rest = after
		}
		add(notation.TextPart{Plain: rest, Ref: p.Ref})
	}
	return out
}

// plain fills a text in which no secret can stand.
func (f *filler) plain(key string, to reflect.Value) { to.SetString(f.filled(key, to.String())) }

func (f *filler) filled(key, with string) string {
	text, ok := f.text(key, notation.PlainText(with)).Plain()
	if !ok {
		f.rep.Fail(f.cfg.at(key),
			place.Subject(key)+" has an input in it that is a reference, and no secret goes there",
			"write that input as it is, if it is none")
		return with
	}
	return text
}

// around fills what stands around the secret: the parts of a webhook's address that are none.
func (f *filler) around(key string, to reflect.Value) {
	const secret = "{secret}"
	parts := strings.Split(to.String(), secret)
	for i := range parts {
		parts[i] = f.filled(key, parts[i])
	}
	to.SetString(strings.Join(parts, secret))
}

// url is plain, and makes a path one on the upstream's host.
func (f *filler) url(key string, to reflect.Value) {
	text := f.filled(key, to.String())
	if strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && f.service.Upstream != nil {
		text = f.service.Upstream.Scheme + "://" + f.service.Upstream.Host + text
	}
	to.SetString(text)
}

// input returns what a name in braces stands for; one that nobody has given is reported once.
func (f *filler) input(key, name string) notation.Text {
	if t, ok := f.inputs[name]; ok {
		f.used[name] = true
		return t
	}
	if name == "upstream" {
		if f.service.Upstream == nil {
			return notation.PlainText("https://upstream.invalid") // its absence is reported by itself
		}
		return notation.PlainText(f.service.Upstream.String())
	}
	if f.missing[name] {
		return notation.PlainText("{" + name + "}")
	}
	f.missing[name] = true
	what, needed := f.preset.Needs[name]
	if !needed {
		shown := "{" + name + "}"
		if wording.MayBeSecret(name) {
			shown = "a name in braces"
		}
		f.rep.Fail(f.cfg.at(key), fmt.Sprintf("%s has %s in it, which stands for nothing", place.Subject(key),
			shown), f.suggest(name))
		return notation.PlainText("{" + name + "}")
	}
	owner := strings.Join(strings.SplitN(f.key, ".", 3)[:2], ".")
	if !f.rep.Broken[owner] {
		f.rep.Fail(f.cfg.at(f.key), fmt.Sprintf("%s needs the input %s: %s", place.Subject(owner), name, what),
			fmt.Sprintf("write credential: {inputs: {%s: …}}; what is secret by reference", name))
	}
	return notation.PlainText("{" + name + "}")
}

func (f *filler) suggest(name string) string {
	if word := wording.Nearest(name, slices.Sorted(maps.Keys(f.inputs))); word != "" {
		return "did you mean {" + word + "}?"
	}
	if wording.MayBeSecret(name) {
		name = "NAME"
	}
	return fmt.Sprintf("write inputs: {%s: …} beside it", name)
}

// unused reports inputs that stand nowhere: a misspelt one, or one that is another key.
func (f *filler) unused() {
	for _, name := range slices.Sorted(maps.Keys(f.inputs)) {
		key := f.key + ".inputs." + name
		if f.used[name] || f.rep.Broken[key] {
			continue
		}
		hint := "leave it out"
		fields, _ := declare.Keys(reflect.TypeOf(f.cred.Settings).Elem())
		if declare.IndexOf(fields, name) >= 0 {
			hint = "did you mean the key " + name + " beside inputs?"
		} else if word := wording.Nearest(name, slices.Sorted(maps.Keys(f.missing))); word != "" {
			hint = "did you mean \"" + word + "\"?"
		}
		f.rep.Fail(f.cfg.at(key), place.Subject(key)+" stands for nothing: no {"+name+"} is in the credential", hint)
	}
}
