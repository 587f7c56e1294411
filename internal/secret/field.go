package secret

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Field takes one field out of a value that is a JSON object: by key, or by JSON pointer (RFC 6901) when name begins with a
// slash. Strings come without quotes, numbers and booleans as written. The error never quotes the value.
func Field(v Value, name string) (Value, error) {
	var doc any
	dec := json.NewDecoder(strings.NewReader(string(v.Reveal())))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return Value{}, fmt.Errorf("a field %q is asked for, but the value is not JSON", name)
	}
	keys := []string{name}
	if strings.HasPrefix(name, "/") {
		keys = strings.Split(name[1:], "/")
		for i, k := range keys {
			keys[i] = strings.ReplaceAll(strings.ReplaceAll(k, "~1", "/"), "~0", "~")
		}
	}
	for _, k := range keys {
		next, ok := step(doc, k)
		if !ok {
			return Value{}, fmt.Errorf("the value has no field %q", name)
		}
		doc = next
	}
	switch x := doc.(type) {
	case string:
		return NewValue([]byte(x)), nil
	case json.Number:
		return NewValue([]byte(x.String())), nil
	case bool:
		return NewValue([]byte(strconv.FormatBool(x))), nil
	default:
		return Value{}, fmt.Errorf("the field %q is not a string, number or boolean", name)
	}
}

func step(doc any, key string) (any, bool) {
	switch x := doc.(type) {
	case map[string]any:
		v, ok := x[key]
		return v, ok
	case []any:
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(x) {
			return nil, false
		}
		return x[i], true
	}
	return nil, false
}
