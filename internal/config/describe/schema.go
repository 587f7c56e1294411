package describe

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/notation"
)

// Schema returns the JSON Schema (draft 2020-12) of a struct. The families among members are described once each, below
// the names of their types in small letters.
//
// It knows shapes, and which keys go with which kind; not what values say of each other.
func Schema(title string, of reflect.Type, members []reflect.Type, families Families) []byte {
	w := writer{families}
	s := w.schemaOf(of, &declare.Field{})
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = title
	defs := schema{}
	for _, t := range members {
		defs[nameOf(t)] = w.familySchema(t)
	}
	s["$defs"] = defs
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("writing the schema: %v", err)) // strings and numbers alone
	}
	return append(out, '\n')
}

type writer struct{ families Families }

// nameOf is what a family is called below $defs.
func nameOf(t reflect.Type) string { return strings.ToLower(t.Name()) }

type schema = map[string]any

func (w writer) schemaOf(t reflect.Type, f *declare.Field) schema {
	if l, ok := declare.LeafOf(t); ok {
		return leafSchema(l.Of(f), t, f)
	}
	switch t.Kind() { //nolint:exhaustive // the declaration uses no others
	case reflect.Struct:
		return w.structSchema(t)
	case reflect.Pointer:
		return w.schemaOf(t.Elem(), f)
	case reflect.Interface:
		return schema{"type": []string{"object", "array"}}
	case reflect.Map:
		out := schema{"type": []string{"object", "null"}}
		out["additionalProperties"] = w.schemaOf(t.Elem(), &declare.Field{})
		if f.Keys == "name" {
			out["propertyNames"] = schema{"pattern": declare.OwnName}
		}
		return out
	}
	return schema{
		"type": "array", "minItems": 1,
		"items": w.schemaOf(t.Elem(), &declare.Field{Enum: f.Enum, Min: f.Min, Max: f.Max}),
	}
}

func (w writer) structSchema(t reflect.Type) schema {
	if w.families(t) != nil {
		return schema{"$ref": "#/$defs/" + nameOf(t)}
	}
	properties, needed := w.properties(t)
	out := schema{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if len(needed) > 0 {
		out["required"] = needed
	}
	return out
}

// properties are the keys of a struct, and the names of those that have to be there.
func (w writer) properties(t reflect.Type) (out schema, needed []string) {
	out = schema{}
	fields, _ := declare.Keys(t)
	for i := range fields {
		f := &fields[i]
		p := w.schemaOf(f.Type, f)
		p["description"] = f.Doc
		if f.Def != "" {
			p["default"] = yamlValue(f.Type, f.Def)
		}
		out[f.Name] = p
		if f.Needed != "" {
			needed = append(needed, f.Name)
		}
	}
	return out, needed
}

// familySchema is the schema of a struct that is of one of several kinds: once the kind is written, the keys are that
// kind's alone. Where a preset may bring the kind, the keys of all kinds are known without it, and none has to be
// there.
func (w writer) familySchema(t reflect.Type) schema {
	all := w.families(t)
	common, needed := w.properties(t)
	fields, _ := declare.Keys(t)
	doc := docOf(&fields[declare.IndexOf(fields, "kind")], all)
	common["kind"] = schema{"description": doc}
	out := schema{"type": "object", "properties": common}
	if len(all) > 0 {
		common["kind"] = schema{"enum": all.Names(), "description": doc}
		out["allOf"] = w.cases(all, common)
	}
	if len(needed) > 0 {
		out["required"] = needed
	}
	if all.FromPresets() {
		out["type"] = []string{"object", "null"}
		out["additionalProperties"] = false
		out["properties"] = anyKey(all, common)
	}
	return out
}

// cases are what holds for each kind.
func (w writer) cases(all declare.Family, common schema) []schema {
	out := make([]schema, len(all))
	for i, m := range all {
		properties, own := w.properties(m.Settings())
		for name := range common {
			if !slices.Contains(m.Without, name) {
				properties[name] = true
			}
		}
		then := schema{"properties": properties, "additionalProperties": false, "description": m.Summary}
		if len(own) > 0 && !m.Presets {
			then["required"] = own
		}
		out[i] = schema{"if": schema{
			"properties": schema{"kind": schema{"const": m.Name}},
			"required":   []string{"kind"},
		}, "then": then}
	}
	return out
}

// anyKey are the keys of all kinds beside the common ones.
func anyKey(f declare.Family, common schema) schema {
	out := schema{}
	for _, m := range f {
		for _, key := range m.Keys() {
			out[key.Name] = true
		}
	}
	maps.Copy(out, common)
	return out
}

func leafSchema(l declare.Leaf, t reflect.Type, f *declare.Field) schema {
	switch {
	case len(f.Enum) > 0:
		return schema{"enum": f.Enum}
	case t.Kind() == reflect.Bool:
		return schema{"type": "boolean"}
	case t == reflect.TypeFor[notation.Size]():
		return schema{"type": []string{"string", "integer"}, "pattern": l.Pattern}
	case t.Kind() == reflect.Int:
		out := schema{"type": "integer"}
		for key, text := range map[string]string{"minimum": f.Min, "maximum": f.Max} {
			if text != "" {
				out[key] = yamlValue(t, text)
			}
		}
		return out
	case l.Pattern != "":
		return schema{"type": "string", "pattern": l.Pattern}
	}
	return schema{"type": []string{"string", "number", "boolean"}, "minLength": 1}
}

// yamlValue is a default as JSON has it.
func yamlValue(t reflect.Type, text string) any {
	switch t.Kind() { //nolint:exhaustive // the rest are strings
	case reflect.Slice:
		var out []any
		for item := range strings.SplitSeq(text, ",") {
			out = append(out, yamlValue(t.Elem(), item))
		}
		return out
	case reflect.Bool:
		return text == "true"
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err == nil {
			return n
		}
	}
	return text
}
