package declare

import (
	"reflect"
	"regexp"
)

// Field is one key of the declaration. Each tag has a field, which says what the tag says.
type Field struct {
	Name, Doc, Def, Eg, Keys, Path string
	URL, Lines, Free               string
	Needed, Backend, Inputs        string
	Meant, Yields                  []string
	Enum, Later                    []string
	Min, Max                       string

	Index    []int // as reflect.Value.FieldByIndex takes it
	Type     reflect.Type
	Defaults func() []reflect.Value // of Def; parsed once, and shared
}

// KeyNames are the names of fields.
func KeyNames(fields []Field) []string {
	out := make([]string, len(fields))
	for i := range fields {
		out[i] = fields[i].Name
	}
	return out
}

// IndexOf is where the field of a name is; -1 where there is none.
func IndexOf(fields []Field, name string) int {
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}

// OfElements declares the values of a map as far as the map does; nil where that says nothing.
func (f *Field) OfElements() *Field {
	if f == nil || f.Free == "" {
		return nil
	}
	return &Field{Free: f.Free}
}

// OwnName is the pattern of the keys of a map with the tag keys:"name".
const OwnName = `^[a-z0-9][a-z0-9_-]{0,62}$`

var ownName = regexp.MustCompile(OwnName)

// IsOwnName tells whether s can be a name of our own.
func IsOwnName(s string) bool { return ownName.MatchString(s) }
