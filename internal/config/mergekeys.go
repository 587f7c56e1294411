package config

import (
	"reflect"
	"slices"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/document"
	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
)

// credential merges what is the kind's, unless the service has a credential of another kind. What is a map of its own
// in the declaration (a login call, a place) is taken whole, or not at all; further parameters and headers one by one.
func (m *merger) credential(at string, to *Credential, p *preset.Credential) {
	if to.Kind != "" && to.Kind != p.Kind {
		return
	}
	m.text(at+".kind", &to.Kind, p.Kind)
	m.cfg.settingsFor(to, p.Kind)
	if to.Settings == nil {
		return
	}
	d := m.cfg.decoder(m.rep, "")
	settings, path := reflect.ValueOf(to.Settings).Elem(), place.Path(strings.Split(m.key+"."+at, "."))
	fields, _ := declare.Keys(settings.Type())
	own := make(map[string]bool)
	for i := range fields {
		own[fields[i].Name] = m.cfg.has(m.key + "." + at + "." + fields[i].Name)
	}
	for i := range fields {
		f := &fields[i]
		value, has := p.Keys[f.Name]
		v, child := settings.FieldByIndex(f.Index), path.Child(f.Name)
		switch n := document.Of(value, place.Position{From: m.from}); {
		case !has || m.yields(f, own, settings):
		case f.Type.Kind() == reflect.Map:
			n.Pairs = slices.DeleteFunc(n.Pairs, func(one document.Pair) bool { return hasFold(v, one.Key.Text) })
			d.Value(n, v, f, child)
		case !own[f.Name]:
			d.Note(child, n.At)
			d.Value(n, v, f, child)
		}
	}
}

// yields tells whether the service has set what a preset's value gives way to.
func (m *merger) yields(f *declare.Field, own map[string]bool, settings reflect.Value) bool {
	return slices.ContainsFunc(f.Yields, func(to string) bool {
		key, begins, _ := strings.Cut(to, ":")
		v, _ := declare.FieldNamed(settings, key)
		return own[key] && strings.HasPrefix(v.String(), begins)
	})
}

// hasFold tells whether a map has a name, in whatever case.
func hasFold(v reflect.Value, name string) bool {
	return slices.ContainsFunc(declare.MapKeys(v), func(own string) bool { return strings.EqualFold(own, name) })
}
