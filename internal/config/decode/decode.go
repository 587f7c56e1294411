package decode

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/document"
	"sallyport/internal/config/place"
	"sallyport/internal/config/wording"
)

// Value writes n into v, as the field f says. v is settable.
func (d *Decoder) Value(n *document.Node, v reflect.Value, f *declare.Field, path place.Path) {
	if l, ok := declare.LeafOf(v.Type()); ok {
		d.leaf(n, v, f, leafAt{l.Of(f), path})
		return
	}
	switch v.Kind() { //nolint:exhaustive // the declaration uses no others
	case reflect.Struct:
		if d.want(n, document.Map, path) {
			d.Structure(n, v, path)
		}
	case reflect.Pointer:
		if n.Kind == document.Null && len(path) > 2 { // a service or token without keys is there all the same
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.Value(n, v.Elem(), f, path)
	case reflect.Map:
		if d.want(n, document.Map, path) {
			d.entries(n, v, f, path)
		}
	case reflect.Slice:
		if d.want(n, document.List, path) {
			d.list(n, v, f, path)
		}
	case reflect.Interface:
		if n.Kind == document.Scalar {
			d.fail(path, n.At, path.Subject()+" is a single value, not a map or a list", "write it as "+f.Eg)
			return
		}
		if tree := d.tree(n, path); tree != nil {
			v.Set(reflect.ValueOf(tree))
		}
	}
}

// Structure writes the map n into the struct v.
func (d *Decoder) Structure(n *document.Node, v reflect.Value, path place.Path) {
	if all := d.Families(v.Type()); all != nil {
		d.ofKind(all, d.unique(n, path), v, path)
		return
	}
	keys, reserved := declare.Keys(v.Type())
	pairs := d.unique(n, path)
	if usual := d.Usual(v.Type(), pairs, path); usual != nil {
		d.usual = usual
	}
	for _, p := range pairs {
		at := p.Key.At
		if i := declare.IndexOf(keys, p.Key.Text); i >= 0 {
			d.key(p, v.FieldByIndex(keys[i].Index), &keys[i], path.Child(p.Key.Text))
			continue
		}
		if slices.Contains(reserved, p.Key.Text) {
			d.fail(path.Child(p.Key.Text), at,
				"the key "+wording.Show(p.Key.Text)+path.In()+" is not available in this version",
				"leave it out for now")
			continue
		}
		d.fail(path.Child(p.Key.Text), at, "unknown key "+wording.Show(p.Key.Text)+path.In(),
			wording.Suggestion(p.Key.Text, declare.KeyNames(keys)))
	}
}

// key decodes a key's value into v.
func (d *Decoder) key(p document.Pair, v reflect.Value, f *declare.Field, path place.Path) {
	d.Note(path, p.Key.At)
	d.Value(p.Value, v, f, path)
}

func (d *Decoder) entries(n *document.Node, v reflect.Value, f *declare.Field, path place.Path) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, p := range d.unique(n, path) {
		child, key := path.Child(p.Key.Text), reflect.ValueOf(p.Key.Text)
		if f.Keys == "name" && !declare.IsOwnName(p.Key.Text) {
			d.fail(child, p.Key.At, wording.Show(p.Key.Text)+" cannot be a name in "+path.String(),
				"names are a-z, 0-9, '-' and '_', begin with a letter or digit and have at most 63 characters")
			continue
		}
		if first, dup := d.Places.Get(child.String()); dup && v.MapIndex(key).IsValid() {
			d.fail(child, p.Key.At, fmt.Sprintf("%s is defined already at %s", child.Subject(), first),
				"a name belongs to one file")
			continue
		}
		d.Note(child, p.Key.At)
		elem := reflect.New(v.Type().Elem()).Elem()
		d.Value(p.Value, elem, f, child)
		v.SetMapIndex(key, elem)
	}
}

func (d *Decoder) list(n *document.Node, v reflect.Value, f *declare.Field, path place.Path) {
	if len(n.Items) == 0 {
		d.fail(path, n.At, path.Subject()+" has no entries", emptyList)
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, len(n.Items))
	for i, item := range n.Items {
		elem := reflect.New(v.Type().Elem()).Elem()
		before := len(d.Report.Errs)
		child := path.Child(strconv.Itoa(i))
		d.Note(child, item.At)
		d.Value(item, elem, f, child)
		// maps keep their numbers
		if len(d.Report.Errs) == before || elem.Kind() == reflect.Struct && !declare.IsLeaf(elem.Type()) {
			out = reflect.Append(out, elem)
		}
	}
	v.Set(out)
}

// ofKind is Structure for a struct of some kind: the other keys are those of the kind that it names.
func (d *Decoder) ofKind(all declare.Family, pairs []document.Pair, v reflect.Value, path place.Path) {
	common, _ := declare.Keys(v.Type())
	named := document.TextOf(pairs, "kind")
	if named == "" {
		named = d.usual[path.String()]
	}
	kind, known := all.Named(named)
	var own []declare.Field
	var unread []string
	var settings reflect.Value
	if known {
		own, settings = kind.Keys(), kind.Make(v)
	}
	for _, p := range pairs {
		key, child := p.Key.Text, path.Child(p.Key.Text)
		i, j := declare.IndexOf(common, key), declare.IndexOf(own, key)
		switch {
		case key == "kind":
			f := common[i]
			f.Enum = all.Names()
			d.key(p, v.FieldByIndex(f.Index), &f, child)
		case i >= 0 && !slices.Contains(kind.Without, key):
			d.key(p, v.FieldByIndex(common[i].Index), &common[i], child)
		case j >= 0:
			d.key(p, settings.FieldByIndex(own[j].Index), &own[j], child)
		case i < 0 && len(all.Takers(key, common)) == 0:
			d.fail(child, p.Key.At, "unknown key "+wording.Show(key)+path.In(),
				wording.Suggestion(key, append(kind.TakesOr(all, common), "kind")))
		case known:
			d.Report.Fail(p.Place(), child.Subject()+" does not go with kind "+kind.Name,
				all.Misplaced(key, kind, common))
		default:
			unread = append(unread, key)
		}
	}
	if to, ok := reflect.TypeAssert[Unreader](v.Addr()); ok {
		to.LeaveUnread(unread)
	}
}
