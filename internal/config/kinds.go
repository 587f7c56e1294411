package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/config/document"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/place"
	"sallyport/internal/config/wording"
	"sallyport/internal/fleet"
	"sallyport/internal/secret"
)

// Kinds are the kinds of what a configuration can have several kinds of. This package knows none by name: internal/app
// has the list, and hands it in.
type Kinds struct {
	Stores      []secret.Kind
	Credentials []CredentialKind
	Fleets      []fleet.Kind
}

// Credential returns the kind of credential that is called name.
func (k Kinds) Credential(name string) (CredentialKind, bool) {
	return k.credential(func(one CredentialKind) bool { return one.Name == name })
}

// usual is the kind of a credential of which nothing but the secret is written.
func (k Kinds) usual() (CredentialKind, bool) {
	return k.credential(func(one CredentialKind) bool { return one.Usual })
}

func (k Kinds) credential(is func(CredentialKind) bool) (CredentialKind, bool) {
	i := slices.IndexFunc(k.Credentials, is)
	if i < 0 {
		return CredentialKind{}, false
	}
	return k.Credentials[i], true
}

// Store returns the kind of store that is called name.
func (k Kinds) Store(name string) (secret.Kind, bool) {
	i := slices.IndexFunc(k.Stores, func(one secret.Kind) bool { return one.Name == name })
	if i < 0 {
		return secret.Kind{}, false
	}
	return k.Stores[i], true
}

// family is the kinds that a struct of the declaration can be of. Such a struct has a key kind, which says of which it
// is; a field of an interface with the tag of:"kind", which holds that kind's settings; and keys that all kinds have
// but those that say no.
type family []member

// member is one kind of a family.
type member struct {
	name, summary string
	empty         func() any // a pointer to a struct: the keys that go with this kind alone
	without       []string   // the common keys that it does not take
	notes         []string   // on the common keys, for the reference
	presets       bool       // keys, the kind among them, may come from a preset
	page          string     // a link to more, for the reference
}

// familyOf returns the kinds that a struct can be of; none if it is of no kind.
func (k Kinds) familyOf(t reflect.Type) family {
	switch t {
	case reflect.TypeFor[Store]():
		return k.stores()
	case reflect.TypeFor[Fleet]():
		return k.fleets()
	case reflect.TypeFor[Credential]():
		all := make(family, len(k.Credentials))
		for i, kind := range k.Credentials {
			all[i] = member{name: kind.Name, summary: kind.Summary, empty: func() any {
				return kind.Settings()
			}, presets: true}
			all[i].page = "[credentials.md](credentials.md#" + kind.Name + ") has examples."
		}
		return all
	}
	return nil
}

func (k Kinds) fleets() family {
	all := make(family, len(k.Fleets))
	for i, kind := range k.Fleets {
		title, _, _ := strings.Cut(strings.TrimPrefix(kind.Page, "## "), "\n")
		all[i] = member{name: kind.Name, summary: kind.Summary, empty: func() any { return kind.Settings() }}
		all[i].page = "[fleet.md](fleet.md#" + anchorOf(title) + ") has more."
	}
	return all
}

func (k Kinds) stores() family {
	all := make(family, len(k.Stores))
	for i, kind := range k.Stores {
		all[i] = member{name: kind.Name, summary: kind.Summary, empty: func() any { return kind.Settings() }}
		all[i].page = "[stores/" + kind.Name + ".md](stores/" + kind.Name + ".md) has more."
		switch {
		case kind.Fixed:
			all[i].without = []string{"refresh", "max_stale"}
		case kind.Own:
			all[i].without = []string{"refresh"}
		case kind.Refresh != 0:
			all[i].notes = append(all[i].notes, "`refresh` is "+notation.FormatDuration(kind.Refresh)+" by default.")
		}
		if kind.Always != nil {
			all[i].notes = append(all[i].notes, "A store of this kind and name is there without an entry.")
		}
	}
	return all
}

// fromPresets tells whether keys, the kind among them, may come from a preset.
func (f family) fromPresets() bool {
	return slices.ContainsFunc(f, func(m member) bool { return m.presets })
}

func (f family) names() []string {
	out := make([]string, len(f))
	for i := range f {
		out[i] = f[i].name
	}
	return out
}

func (f family) named(name string) (member, bool) {
	i := slices.Index(f.names(), name)
	if i < 0 {
		return member{}, false
	}
	return f[i], true
}

// settings is the type of the struct with the member's own keys.
func (m member) settings() reflect.Type { return reflect.TypeOf(m.empty()).Elem() }

// keys are the member's own.
func (m member) keys() []field {
	keys, _ := fieldsOf(m.settings())
	return keys
}

// takes are the names of all keys that go with the member beside kind, its own first.
func (m member) takes(common []field) []string {
	out := names(m.keys())
	for _, name := range names(common) {
		if name != "kind" && !slices.Contains(m.without, name) {
			out = append(out, name)
		}
	}
	return out
}

// takers are the members that a key goes with.
func (f family) takers(key string, common []field) (out []string) {
	for _, m := range f {
		if slices.Contains(m.takes(common), key) {
			out = append(out, m.name)
		}
	}
	return out
}

// misplaced is the hint for a key that goes with other kinds than m: the key that was meant, or the kinds that it goes
// with.
func (f family) misplaced(key string, m member, common []field) string {
	for _, own := range m.keys() {
		if slices.Contains(own.meant, key) {
			return "did you mean " + strconv.Quote(own.name) + "?"
		}
	}
	takes := m.takes(common)
	if len(takes) == 0 {
		return "kind " + m.name + " takes no other keys"
	}
	hint := "kind " + m.name + " takes " + strings.Join(takes, ", ")
	if kinds := f.takers(key, common); len(kinds) > 0 && len(kinds) < 3 {
		hint = key + " goes with " + strings.Join(kinds, " and ") + "; " + hint
	}
	return hint
}

// settingsIn returns the struct of a kind's own keys within v, a struct that is of that kind; false where there is
// none.
func settingsIn(v reflect.Value) (reflect.Value, bool) {
	d := declaredBy(v.Type())
	if d.settings < 0 || v.Field(d.settings).IsNil() {
		return reflect.Value{}, false
	}
	return v.Field(d.settings).Elem().Elem(), true
}

// ofKind is structure for a struct of some kind: the other keys are those of the kind that it names.
func (d *decoder) ofKind(all family, pairs []document.Pair, v reflect.Value, path place.Path) {
	common, _ := fieldsOf(v.Type())
	named := document.TextOf(pairs, "kind")
	if named == "" {
		named = d.usual[path.String()]
	}
	kind, known := all.named(named)
	var own []field
	var unread []string
	var settings reflect.Value
	if known {
		made := reflect.ValueOf(kind.empty())
		v.Field(declaredBy(v.Type()).settings).Set(made)
		own, settings = kind.keys(), made.Elem()
	}
	for _, p := range pairs {
		key, child := p.Key.Text, path.Child(p.Key.Text)
		i, j := indexOf(common, key), indexOf(own, key)
		switch {
		case key == "kind":
			f := common[i]
			f.enum = all.names()
			d.key(p, v.FieldByIndex(f.index), &f, child)
		case i >= 0 && !slices.Contains(kind.without, key):
			d.key(p, v.FieldByIndex(common[i].index), &common[i], child)
		case j >= 0:
			d.key(p, settings.FieldByIndex(own[j].index), &own[j], child)
		case i < 0 && len(all.takers(key, common)) == 0:
			d.fail(child, p.Key.At, "unknown key "+wording.Show(key)+path.In(),
				wording.Suggestion(key, append(kind.takesOr(all, common), "kind")))
		case known:
			d.rep.Fail(p.Place(), child.Subject()+" does not go with kind "+kind.name, all.misplaced(key, kind, common))
		default:
			unread = append(unread, key)
		}
	}
	if cred, ok := reflect.TypeAssert[*Credential](v.Addr()); ok {
		cred.unread = unread
	}
}

// takesOr are the keys that go with the member, or with any if there is no such member.
func (m member) takesOr(all family, common []field) (out []string) {
	if m.empty != nil {
		return m.takes(common)
	}
	for _, one := range all {
		out = append(out, one.takes(common)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// needs reports the keys of v, a struct at key, that have to be there and are not. of goes behind the subject.
func (k *checker) needs(v reflect.Value, key, of string) {
	fields, _ := fieldsOf(v.Type())
	for i := range fields {
		f, child := &fields[i], key+"."+fields[i].name
		if f.needed != "" && !k.cfg.has(child) {
			k.missing(key, of+"has no "+f.name, f.needed)
		}
		if at := v.FieldByIndex(f.index); at.Kind() == reflect.Pointer && !isLeaf(f.typ) && !at.IsNil() {
			k.needs(at.Elem(), child, "")
		}
	}
}

// Backend tells one store from another: all that is set but how to log in to it and how often it is asked.
func (s *Store) Backend() string {
	where := map[string]any{"kind": s.Kind}
	if v, ok := settingsIn(reflect.ValueOf(s).Elem()); ok {
		fields, _ := fieldsOf(v.Type())
		for i := range fields {
			if fields[i].backend == "" {
				where[fields[i].name] = v.FieldByIndex(fields[i].index).Interface()
			}
		}
	}
	text, err := json.Marshal(where)
	if err != nil {
		// they are made of words and numbers, which can be written
		panic(fmt.Sprintf("the settings of kind %s: %v", s.Kind, err))
	}
	return string(text)
}
