package declare

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Family is the kinds that a struct of the declaration can be of. Such a struct has a key kind, which says of which it
// is; a field of an interface with the tag of:"kind", which holds that kind's settings; and keys that all kinds have
// but those that say no.
type Family []Member

// Member is one kind of a family.
type Member struct {
	Name, Summary string
	Empty         func() any // a pointer to a struct: the keys that go with this kind alone
	Without       []string   // the common keys that it does not take
	Notes         []string   // on the common keys, for the reference
	Presets       bool       // keys, the kind among them, may come from a preset
	Usual         string     // when it is the kind of what names none: "if there is a secret"; "": never
	Page          string     // a link to more, for the reference
}

// FromPresets tells whether keys, the kind among them, may come from a preset.
func (f Family) FromPresets() bool {
	return slices.ContainsFunc(f, func(m Member) bool { return m.Presets })
}

// Names are the members' names.
func (f Family) Names() []string {
	out := make([]string, len(f))
	for i := range f {
		out[i] = f[i].Name
	}
	return out
}

// Named returns the member of a name, if there is one.
func (f Family) Named(name string) (Member, bool) {
	i := slices.Index(f.Names(), name)
	if i < 0 {
		return Member{}, false
	}
	return f[i], true
}

// Settings is the type of the struct with the member's own keys.
func (m Member) Settings() reflect.Type { return reflect.TypeOf(m.Empty()).Elem() }

// Keys are the member's own.
func (m Member) Keys() []Field {
	keys, _ := Keys(m.Settings())
	return keys
}

// Takes are the names of all keys that go with the member beside kind, its own first.
func (m Member) Takes(common []Field) []string {
	out := KeyNames(m.Keys())
	for _, name := range KeyNames(common) {
		if name != "kind" && !slices.Contains(m.Without, name) {
			out = append(out, name)
		}
	}
	return out
}

// Takers are the members that a key goes with.
func (f Family) Takers(key string, common []Field) (out []string) {
	for _, m := range f {
		if slices.Contains(m.Takes(common), key) {
			out = append(out, m.Name)
		}
	}
	return out
}

// Misplaced is the hint for a key that goes with other kinds than m: the key that was meant, or the kinds that it goes
// with.
func (f Family) Misplaced(key string, m Member, common []Field) string {
	for _, own := range m.Keys() {
		if slices.Contains(own.Meant, key) {
			return "did you mean " + strconv.Quote(own.Name) + "?"
		}
	}
	takes := m.Takes(common)
	if len(takes) == 0 {
		return "kind " + m.Name + " takes no other keys"
	}
	hint := "kind " + m.Name + " takes " + strings.Join(takes, ", ")
	if kinds := f.Takers(key, common); len(kinds) > 0 && len(kinds) < 3 {
		hint = key + " goes with " + strings.Join(kinds, " and ") + "; " + hint
	}
	return hint
}

// TakesOr are the keys that go with the member, or with any if there is no such member.
func (m Member) TakesOr(all Family, common []Field) (out []string) {
	if m.Empty != nil {
		return m.Takes(common)
	}
	for _, one := range all {
		out = append(out, one.Takes(common)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Make gives v, a struct that is of the member's kind, empty settings, and returns the struct of them.
func (m Member) Make(v reflect.Value) reflect.Value {
	made := reflect.ValueOf(m.Empty())
	v.Field(declaredBy(v.Type()).settings).Set(made)
	return made.Elem()
}
