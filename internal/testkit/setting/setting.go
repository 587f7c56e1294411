// Package setting is how tests look at the settings of a credential: by key, as a configuration has them, whatever its
// kind.
package setting

import (
	"reflect"
	"strings"

	"sallyport/internal/config"
)

// At returns the setting at a dotted key ("request.url"). Where the kind has no such key, or nothing is set around it,
// it is a new zero value, which is no part of the credential.
func At[T any](c *config.Credential, key string) *T {
	if v := Value(c, key); v.IsValid() {
		if at, ok := reflect.TypeAssert[*T](v.Addr()); ok {
			return at
		}
	}
	return new(T)
}

// Value is the setting at a dotted key, whatever its type; the zero Value where there is none.
func Value(c *config.Credential, key string) reflect.Value {
	v := reflect.ValueOf(c.Settings)
	for name := range strings.SplitSeq(key, ".") {
		for v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return reflect.Value{}
		}
		if v = field(v, name); !v.IsValid() {
			return v
		}
	}
	return v
}

// Text is At for a single text.
func Text(c *config.Credential, key string) string { return *At[string](c, key) }

func field(v reflect.Value, name string) reflect.Value {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Tag.Get("yaml") == name {
			return v.Field(i)
		}
		if f.Anonymous {
			if inner := field(v.Field(i), name); inner.IsValid() {
				return inner
			}
		}
	}
	return reflect.Value{}
}
