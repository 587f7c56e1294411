package secret

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sallyport/internal/jsonpointer"
)

// Field takes one field out of a value that is a JSON object: by key, or by JSON pointer (RFC 6901) when name begins
// with a slash. Strings come without quotes, numbers and booleans as written. The error never quotes the value.
func Field(v Value, name string) (Value, error) {
	var doc any
	dec := json.NewDecoder(strings.NewReader(string(v.Reveal())))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return Value{}, fmt.Errorf("a field %q is asked for, but the value is not JSON", name)
	}
	pointer, err := fieldPointer(name)
	if err != nil {
		return Value{}, fmt.Errorf("the field %q %w", name, err)
	}
	field, ok := pointer.In(doc)
	if !ok {
		return Value{}, fmt.Errorf("the value has no field %q", name)
	}
	switch x := field.(type) {
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

// fieldPointer leads to a field by its name, or by a JSON pointer.
func fieldPointer(name string) (jsonpointer.Pointer, error) {
	if strings.HasPrefix(name, "/") {
		return jsonpointer.Parse(name)
	}
	return jsonpointer.Pointer{name}, nil
}
