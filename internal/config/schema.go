package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/config/notation"
)

// Schema returns the JSON Schema (draft 2020-12) of sallyport.yaml, for editors. It knows shapes, and which keys go
// with which kind; not what values say of each other: `sallyport config check` does.
func Schema(kinds Kinds) []byte {
	s := kinds.schemaOf(reflect.TypeFor[Config](), &field{})
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "sallyport.yaml"
	s["$defs"] = schema{
		"store":      kinds.familySchema(reflect.TypeFor[Store]()),
		"credential": kinds.familySchema(reflect.TypeFor[Credential]()),
		"fleet":      kinds.familySchema(reflect.TypeFor[Fleet]()),
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("writing the schema: %v", err)) // strings and numbers alone
	}
	return append(out, '\n')
}

type schema = map[string]any

func (k Kinds) schemaOf(t reflect.Type, f *field) schema {
	if l, ok := leafOf(t); ok {
		return leafSchema(l.of(f), t, f)
	}
	switch t.Kind() { //nolint:exhaustive // the declaration uses no others
	case reflect.Struct:
		return k.structSchema(t)
	case reflect.Pointer:
		return k.schemaOf(t.Elem(), f)
	case reflect.Interface:
		return schema{"type": []string{"object", "array"}}
	case reflect.Map:
		out := schema{"type": []string{"object", "null"}, "additionalProperties": k.schemaOf(t.Elem(), &field{})}
		if f.keys == "name" {
			out["propertyNames"] = schema{"pattern": ownName.String()}
		}
		return out
	}
	return schema{
		"type": "array", "minItems": 1,
		"items": k.schemaOf(t.Elem(), &field{enum: f.enum, min: f.min, max: f.max}),
	}
}

func (k Kinds) structSchema(t reflect.Type) schema {
	if k.familyOf(t) != nil {
		return schema{"$ref": "#/$defs/" + strings.ToLower(t.Name())}
	}
	properties, needed := k.properties(t)
	out := schema{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if len(needed) > 0 {
		out["required"] = needed
	}
	return out
}

// properties are the keys of a struct, and the names of those that have to be there.
func (k Kinds) properties(t reflect.Type) (out schema, needed []string) {
	out = schema{}
	fields, _ := fieldsOf(t)
	for i := range fields {
		f := &fields[i]
		p := k.schemaOf(f.typ, f)
		p["description"] = f.doc
		if f.def != "" {
			p["default"] = yamlValue(f.typ, f.def)
		}
		out[f.name] = p
		if f.needed != "" {
			needed = append(needed, f.name)
		}
	}
	return out, needed
}

// familySchema is the schema of a struct that is of one of several kinds: once the kind is written, the keys are that
// kind's alone. Where a preset may bring the kind, the keys of all kinds are known without it, and none has to be
// there.
func (k Kinds) familySchema(t reflect.Type) schema {
	all := k.familyOf(t)
	common, needed := k.properties(t)
	fields, _ := fieldsOf(t)
	common["kind"] = schema{"description": fields[indexOf(fields, "kind")].doc}
	out := schema{"type": "object", "properties": common}
	if len(all) > 0 {
		common["kind"] = schema{"enum": all.names(), "description": fields[indexOf(fields, "kind")].doc}
		out["allOf"] = k.cases(all, common)
	}
	if len(needed) > 0 {
		out["required"] = needed
	}
	if all.fromPresets() {
		out["type"] = []string{"object", "null"}
		out["additionalProperties"] = false
		out["properties"] = all.anyKey(common)
	}
	return out
}

// cases are what holds for each kind.
func (k Kinds) cases(all family, common schema) []schema {
	out := make([]schema, len(all))
	for i, m := range all {
		properties, own := k.properties(m.settings())
		for name := range common {
			if !slices.Contains(m.without, name) {
				properties[name] = true
			}
		}
		then := schema{"properties": properties, "additionalProperties": false, "description": m.summary}
		if len(own) > 0 && !m.presets {
			then["required"] = own
		}
		out[i] = schema{"if": schema{
			"properties": schema{"kind": schema{"const": m.name}},
			"required":   []string{"kind"},
		}, "then": then}
	}
	return out
}

// anyKey are the keys of all kinds beside the common ones.
func (f family) anyKey(common schema) schema {
	out := schema{}
	for _, m := range f {
		for _, key := range m.keys() {
			out[key.name] = true
		}
	}
	maps.Copy(out, common)
	return out
}

func leafSchema(l leaf, t reflect.Type, f *field) schema {
	switch {
	case len(f.enum) > 0:
		return schema{"enum": f.enum}
	case t.Kind() == reflect.Bool:
		return schema{"type": "boolean"}
	case t == reflect.TypeFor[notation.Size]():
		return schema{"type": []string{"string", "integer"}, "pattern": l.pattern}
	case t.Kind() == reflect.Int:
		out := schema{"type": "integer"}
		for key, text := range map[string]string{"minimum": f.min, "maximum": f.max} {
			if text != "" {
				out[key] = yamlValue(t, text)
			}
		}
		return out
	case l.pattern != "":
		return schema{"type": "string", "pattern": l.pattern}
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
