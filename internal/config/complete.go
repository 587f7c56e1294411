package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/config/place"
)

func (c *Config) has(key string) bool { return c.positions.Has(key) }

func (c *Config) positionOf(key string) place.Position {
	at, _ := c.positions.Get(key)
	return at
}

// at returns where key stands, or what is nearest to it.
func (c *Config) at(key string) place.Position { return c.positions.At(key, c.files[0]) }

// applyDefaults gives every key that nobody set the declaration's default.
func (c *Config) applyDefaults(v reflect.Value, path place.Path) {
	fields, _ := fieldsOf(v.Type())
	for i := range fields {
		f, fv, child := &fields[i], v.FieldByIndex(fields[i].index), path.Child(fields[i].name)
		switch {
		case f.def != "":
			c.applyDefault(f, fv, child)
		case fv.Kind() == reflect.Struct && !isLeaf(fv.Type()):
			c.applyDefaults(fv, child)
		case fv.Kind() == reflect.Pointer && !isLeaf(fv.Type()) && !fv.IsNil():
			c.applyDefaults(fv.Elem(), child)
		case fv.Kind() == reflect.Slice && fv.Type().Elem().Kind() == reflect.Struct && !isLeaf(fv.Type().Elem()):
			for i := range fv.Len() {
				c.applyDefaults(fv.Index(i), child.Child(strconv.Itoa(i)))
			}
		case fv.Kind() == reflect.Map && fv.Type().Elem().Kind() == reflect.Pointer:
			for _, key := range mapKeys(fv) {
				c.applyDefaults(fv.MapIndex(reflect.ValueOf(key)).Elem(), child.Child(key))
			}
		}
	}
	if settings, ok := settingsIn(v); ok {
		c.applyDefaults(settings, path)
	}
}

// applyOwnDefaults is applyDefaults for the services and tokens alone.
func (c *Config) applyOwnDefaults() {
	for _, name := range c.ServiceNames() {
		c.applyDefaults(reflect.ValueOf(c.Services[name]).Elem(), place.Path{"services", name})
	}
	for _, name := range c.TokenNames() {
		c.applyDefaults(reflect.ValueOf(c.Tokens[name]).Elem(), place.Path{"tokens", name})
	}
}

func isLeaf(t reflect.Type) bool { _, ok := leafOf(t); return ok }

// mapKeys returns the keys of a map of the declaration, sorted.
func mapKeys(v reflect.Value) []string {
	out := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		out = append(out, k.String())
	}
	slices.Sort(out)
	return out
}

func (c *Config) applyDefault(f *field, v reflect.Value, path place.Path) {
	key := path.String()
	if c.has(key) {
		return
	}
	if len(path) < 3 || path[0] != "services" && path[0] != "tokens" {
		c.positions.Set(key, place.Position{From: place.FromDefault})
	}
	values := f.defaults()
	if v.Kind() == reflect.Slice {
		v.Set(reflect.Append(v, values...))
		return
	}
	v.Set(values[0])
	if f.path != "" {
		v.SetString(c.placeFile(key, c.dir, f.def))
	}
}

// parseDefaults returns the values of the declaration's default: one, or the entries of a list.
func (f *field) parseDefaults() []reflect.Value {
	texts, t := []string{f.def}, f.typ
	if t.Kind() == reflect.Slice {
		texts, t = strings.Split(f.def, ","), t.Elem()
	}
	out := make([]reflect.Value, len(texts))
	l, _ := leafOf(t)
	for i, text := range texts {
		out[i] = reflect.New(t).Elem()
		if err := setLeaf(out[i], f, l, text); err != nil {
			panic(fmt.Sprintf("the declaration's default %q of %s: %v", text, f.name, err)) // Default's test meets it
		}
	}
	return out
}

// settle places the files below the data directory, once that is known, and lets key_env replace the default key_file.
func (c *Config) settle() {
	if c.Seal.KeyEnv != "" && c.positionOf("seal.key_file").From == place.FromDefault {
		c.Seal.KeyFile = ""
		c.positions.Drop("seal.key_file")
		delete(c.underData, "seal.key_file")
	}
	for key, rest := range c.underData {
		if v, _, ok := c.find(key); ok {
			v.SetString(filepath.Join(c.Data, rest))
		}
	}
}

// find returns the settable value at a dotted key.
func (c *Config) find(key string) (reflect.Value, *field, bool) {
	v := reflect.ValueOf(c).Elem()
	var last *field
	for name := range strings.SplitSeq(key, ".") {
		if v.Kind() == reflect.Pointer && !isLeaf(v.Type()) {
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
		case v.Kind() == reflect.Slice && !isLeaf(v.Type()):
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= v.Len() {
				return v, nil, false
			}
			v = v.Index(i)
		case v.Kind() == reflect.Struct && !isLeaf(v.Type()):
			if v, last = fieldNamed(v, name); last == nil {
				return v, nil, false
			}
		default:
			return v, nil, false
		}
	}
	return v, last, v.CanSet()
}

// fieldNamed returns the field of a struct, or of the settings in it, that a key is for.
func fieldNamed(v reflect.Value, key string) (reflect.Value, *field) {
	fields, _ := fieldsOf(v.Type())
	if i := indexOf(fields, key); i >= 0 {
		return v.FieldByIndex(fields[i].index), &fields[i]
	}
	if settings, ok := settingsIn(v); ok {
		return fieldNamed(settings, key)
	}
	return v, nil
}

// ServiceNames returns the services' names, sorted.
func (c *Config) ServiceNames() []string { return sortedKeys(c.Services) }

// TokenNames returns the tokens' labels, sorted.
func (c *Config) TokenNames() []string { return sortedKeys(c.Tokens) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
