package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

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
	d := &decoder{cfg: m.cfg, rep: m.rep}
	settings, path := reflect.ValueOf(to.Settings).Elem(), keyPath(strings.Split(m.key+"."+at, "."))
	fields, _ := fieldsOf(settings.Type())
	own := make(map[string]bool)
	for i := range fields {
		own[fields[i].name] = m.cfg.has(m.key + "." + at + "." + fields[i].name)
	}
	for i := range fields {
		f := &fields[i]
		value, has := p.Keys[f.name]
		v, child := settings.FieldByIndex(f.index), path.child(f.name)
		switch n := treeOf(value, position{from: m.from}); {
		case !has || m.yields(f, own, settings):
		case f.typ.Kind() == reflect.Map:
			n.pairs = slices.DeleteFunc(n.pairs, func(one pair) bool { return hasFold(v, one.key.text) })
			d.value(n, v, f, child)
		case !own[f.name]:
			d.note(child, n.at)
			d.value(n, v, f, child)
		}
	}
}

// yields tells whether the service has set what a preset's value gives way to.
func (m *merger) yields(f *field, own map[string]bool, settings reflect.Value) bool {
	return slices.ContainsFunc(f.yields, func(to string) bool {
		key, begins, _ := strings.Cut(to, ":")
		v, _ := fieldNamed(settings, key)
		return own[key] && strings.HasPrefix(v.String(), begins)
	})
}

// hasFold tells whether a map has a name, in whatever case.
func hasFold(v reflect.Value, name string) bool {
	return slices.ContainsFunc(mapKeys(v), func(own string) bool { return strings.EqualFold(own, name) })
}

// treeOf is what a preset says as the decoder takes it.
func treeOf(value any, at position) *node {
	n := &node{at: at}
	switch x := value.(type) {
	case nil:
	case map[string]any:
		n.kind = mapNode
		for _, name := range sortedKeys(x) {
			key := &node{kind: scalarNode, at: at, text: name}
			n.pairs = append(n.pairs, pair{key: key, value: treeOf(x[name], at)})
		}
	case []any:
		n.kind = listNode
		for _, item := range x {
			n.items = append(n.items, treeOf(item, at))
		}
	case string:
		n.kind, n.text = scalarNode, x
	case bool:
		n.kind, n.text, n.typed = scalarNode, fmt.Sprint(x), x
	default:
		n.kind, n.text, n.typed = scalarNode, fmt.Sprint(x), json.Number(fmt.Sprint(x))
	}
	return n
}
