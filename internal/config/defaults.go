package config

import (
	"path/filepath"
	"reflect"
	"strconv"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/place"
)

// applyDefaults gives every key that nobody set the declaration's default.
func (c *Config) applyDefaults(v reflect.Value, path place.Path) {
	fields, _ := declare.Keys(v.Type())
	for i := range fields {
		f, fv, child := &fields[i], v.FieldByIndex(fields[i].Index), path.Child(fields[i].Name)
		switch {
		case f.Def != "":
			c.applyDefault(f, fv, child)
		case fv.Kind() == reflect.Struct && !declare.IsLeaf(fv.Type()):
			c.applyDefaults(fv, child)
		case fv.Kind() == reflect.Pointer && !declare.IsLeaf(fv.Type()) && !fv.IsNil():
			c.applyDefaults(fv.Elem(), child)
		case fv.Kind() == reflect.Slice && fv.Type().Elem().Kind() == reflect.Struct &&
			!declare.IsLeaf(fv.Type().Elem()):
			for i := range fv.Len() {
				c.applyDefaults(fv.Index(i), child.Child(strconv.Itoa(i)))
			}
		case fv.Kind() == reflect.Map && fv.Type().Elem().Kind() == reflect.Pointer:
			for _, key := range declare.MapKeys(fv) {
				c.applyDefaults(fv.MapIndex(reflect.ValueOf(key)).Elem(), child.Child(key))
			}
		}
	}
	if settings, ok := declare.SettingsIn(v); ok {
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

func (c *Config) applyDefault(f *declare.Field, v reflect.Value, path place.Path) {
	key := path.String()
	if c.has(key) {
		return
	}
	if len(path) < 3 || path[0] != "services" && path[0] != "tokens" {
		c.positions.Set(key, place.Position{From: place.FromDefault})
	}
	values := f.Defaults()
	if v.Kind() == reflect.Slice {
		v.Set(reflect.Append(v, values...))
		return
	}
	v.Set(values[0])
	if f.Path != "" {
		v.SetString(c.placeFile(key, c.dir, f.Def))
	}
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
