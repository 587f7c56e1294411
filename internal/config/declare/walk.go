package declare

import (
	"reflect"
	"slices"
)

// SettingsIn returns the struct of a kind's own keys within v, a struct that is of that kind; false where there is
// none.
func SettingsIn(v reflect.Value) (reflect.Value, bool) {
	d := declaredBy(v.Type())
	if d.settings < 0 || v.Field(d.settings).IsNil() {
		return reflect.Value{}, false
	}
	return v.Field(d.settings).Elem().Elem(), true
}

// FieldNamed returns the field of a struct, or of the settings in it, that a key is for.
func FieldNamed(v reflect.Value, key string) (reflect.Value, *Field) {
	fields, _ := Keys(v.Type())
	if i := IndexOf(fields, key); i >= 0 {
		return v.FieldByIndex(fields[i].Index), &fields[i]
	}
	if settings, ok := SettingsIn(v); ok {
		return FieldNamed(settings, key)
	}
	return v, nil
}

// MapKeys returns the keys of a map of the declaration, sorted.
func MapKeys(v reflect.Value) []string {
	out := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		out = append(out, k.String())
	}
	slices.Sort(out)
	return out
}
