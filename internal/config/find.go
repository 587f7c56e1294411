package config

import (
	"reflect"
	"strconv"
	"strings"

	"sallyport/internal/config/declare"
)

// find returns the settable value at a dotted key.
func (c *Config) find(key string) (reflect.Value, *declare.Field, bool) {
	v := reflect.ValueOf(c).Elem()
	var last *declare.Field
	for name := range strings.SplitSeq(key, ".") {
		if v.Kind() == reflect.Pointer && !declare.IsLeaf(v.Type()) {
			if v.IsNil() {
				return v, nil, false
			}
			v = v.Elem()
		}
		switch {
		case v.Kind() == reflect.Map:
			v = v.MapIndex(reflect.ValueOf(name))
			if !v.IsValid() {
				return v, nil, false
			}
		case v.Kind() == reflect.Slice && !declare.IsLeaf(v.Type()):
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= v.Len() {
				return v, nil, false
			}
			v = v.Index(i)
		case v.Kind() == reflect.Struct && !declare.IsLeaf(v.Type()):
			if v, last = declare.FieldNamed(v, name); last == nil {
				return v, nil, false
			}
		default:
			return v, nil, false
		}
	}
	return v, last, v.CanSet()
}
