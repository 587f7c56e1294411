package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Schema returns the JSON Schema (draft 2020-12) of sallyport.yaml, for editors. It knows shapes, not what values say of
// each other: `sallyport config check` does.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[Config](), &field{})
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "sallyport.yaml"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("writing the schema: %v", err)) // strings and numbers alone
	}
	return append(out, '\n')
}

type schema = map[string]any

func schemaOf(t reflect.Type, f *field) schema {
	if l, ok := leafOf(t); ok {
		return leafSchema(l.of(f), t, f)
	}
	switch t.Kind() { //nolint:exhaustive // the declaration uses no others
	case reflect.Struct:
		return structSchema(t)
	case reflect.Pointer:
		return schemaOf(t.Elem(), f)
	case reflect.Interface:
		return schema{"type": []string{"object", "array"}}
	case reflect.Map:
		out := schema{"type": []string{"object", "null"}, "additionalProperties": schemaOf(t.Elem(), &field{})}
		if f.keys == "name" {
			out["propertyNames"] = schema{"pattern": ownName.String()}
		}
		return out
	}
	return schema{"type": "array", "minItems": 1, "items": schemaOf(t.Elem(), &field{enum: f.enum, min: f.min, max: f.max})}
}

func structSchema(t reflect.Type) schema {
	properties := schema{}
	fields, _ := fieldsOf(t)
	for i := range fields {
		f := &fields[i]
		p := schemaOf(f.typ, f)
		p["description"] = f.doc
		if f.def != "" {
			p["default"] = yamlValue(f.typ, f.def)
		}
		properties[f.name] = p
	}
	return schema{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
}

func leafSchema(l leaf, t reflect.Type, f *field) schema {
	switch {
	case len(f.enum) > 0:
		return schema{"enum": f.enum}
	case t.Kind() == reflect.Bool:
		return schema{"type": "boolean"}
	case t == reflect.TypeFor[Size]():
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
