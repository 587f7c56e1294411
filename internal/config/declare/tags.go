package declare

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// declared is what the tags of a struct say.
type declared struct {
	keys     []Field
	reserved []string
	settings int // the field with the keys of one kind; -1: there is none
}

// declarations are the structs that Keys has read, by reflect.Type: a load asks some ten times for each service.
var declarations sync.Map

// Keys returns the keys of a struct in order, and the reserved ones. Both are shared: do not change them.
func Keys(t reflect.Type) (keys []Field, reserved []string) {
	d := declaredBy(t)
	return d.keys, d.reserved
}

func declaredBy(t reflect.Type) *declared {
	if known, ok := declarations.Load(t); ok {
		if d, ok := known.(*declared); ok {
			return d
		}
	}
	d := readTags(t)
	declarations.Store(t, d)
	return d
}

func readTags(t reflect.Type) *declared {
	d := &declared{settings: -1}
	d.read(t, nil)
	return d
}

// read takes the keys of a struct; those of an embedded one stand among them. within is the way to the struct.
func (d *declared) read(t reflect.Type, within []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(within), i)
		names := strings.Fields(f.Tag.Get("yaml"))
		switch {
		case f.Name == "_":
			d.reserved = append(d.reserved, names...)
		case f.Tag.Get("of") != "":
			d.settings = i
		case f.Anonymous && len(names) == 0:
			d.read(f.Type, at)
		case len(names) > 0:
			d.keys = append(d.keys, readTag(names[0], &f, at))
			last := d.keys[len(d.keys)-1]
			d.keys[len(d.keys)-1].Defaults = sync.OnceValue(last.parseDefaults)
		}
	}
}

func readTag(name string, f *reflect.StructField, at []int) Field {
	return Field{
		Name: name, Doc: f.Tag.Get("doc"), Def: f.Tag.Get("default"), Eg: f.Tag.Get("eg"),
		Keys: f.Tag.Get("keys"), Path: f.Tag.Get("path"), Min: f.Tag.Get("min"), Max: f.Tag.Get("max"),
		URL: f.Tag.Get("url"), Lines: f.Tag.Get("lines"), Free: f.Tag.Get("free"), Inputs: f.Tag.Get("inputs"),
		Needed: f.Tag.Get("needed"), Backend: f.Tag.Get("backend"),
		Meant: strings.Fields(f.Tag.Get("meant")), Yields: strings.Fields(f.Tag.Get("yields")),
		Enum: strings.Fields(f.Tag.Get("enum")), Later: strings.Fields(f.Tag.Get("later")), Index: at, Type: f.Type,
	}
}
