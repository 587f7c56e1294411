package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/config/document"
	"sallyport/internal/config/finding"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/place"
	"sallyport/internal/config/wording"
	"sallyport/internal/fault"
)

// decoder writes a tree into the declaration's structs, notes where each value stands, and goes on after every error.
type decoder struct {
	cfg *Config
	rep *finding.Report
	dir string // of the file

	usual map[string]string // key of a credential → the kind that it is of if it names none
}

func (d *decoder) value(n *document.Node, v reflect.Value, f *field, path place.Path) {
	if l, ok := leafOf(v.Type()); ok {
		d.leaf(n, v, f, leafAt{l.of(f), path})
		return
	}
	switch v.Kind() { //nolint:exhaustive // the declaration uses no others
	case reflect.Struct:
		if d.want(n, document.Map, path) {
			d.structure(n, v, path)
		}
	case reflect.Pointer:
		if n.Kind == document.Null && len(path) > 2 { // a service or token without keys is there all the same
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), f, path)
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
			d.fail(path, n.At, path.Subject()+" is a single value, not a map or a list", "write it as "+f.eg)
			return
		}
		if tree := d.tree(n, path); tree != nil {
			v.Set(reflect.ValueOf(tree))
		}
	}
}

// tree reads free-form JSON: objects and lists, and below them texts, references, numbers, true, false and null.
func (d *decoder) tree(n *document.Node, path place.Path) any {
	switch n.Kind {
	case document.Map:
		out := make(map[string]any, len(n.Pairs))
		for _, p := range d.unique(n, path) {
			out[p.Key.Text] = d.tree(p.Value, path.Child(p.Key.Text))
		}
		return out
	case document.List:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = d.tree(item, path.Child(strconv.Itoa(i)))
		}
		return out
	case document.Null:
		return nil
	case document.Scalar:
		if n.Typed != nil {
			return n.Typed
		}
	}
	d.note(path, n.At)
	text, err := notation.ParseText(n.Text)
	if err != nil {
		d.fail(path, n.At, path.Subject()+": "+err.Error(), fault.HintOf(err))
		return nil
	}
	if text.IsZero() {
		return notation.Text{{}}
	}
	return text
}

// want checks the shape. Nothing at all is an empty map: people comment out a map's last line. It is not an empty list:
// a list of rules or networks with every line commented out must not come to mean "everything".
func (d *decoder) want(n *document.Node, kind document.Kind, path place.Path) bool {
	switch {
	case n.Kind == kind:
		return true
	case n.Kind == document.Null && kind == document.Map:
		return false
	case n.Kind == document.Null:
		d.fail(path, n.At, path.Subject()+" has no entries", emptyList)
	case kind == document.List && n.Kind == document.Scalar:
		d.fail(path, n.At, path.Subject()+" is a list", "write it in brackets, [a, b], or as lines that begin with -")
	default:
		d.fail(path, n.At, fmt.Sprintf("%s is %s, not %s", path.Subject(), kind, n.Kind), "")
	}
	return false
}

func (d *decoder) structure(n *document.Node, v reflect.Value, path place.Path) {
	if all := d.cfg.kinds.familyOf(v.Type()); all != nil {
		d.ofKind(all, d.unique(n, path), v, path)
		return
	}
	keys, reserved := fieldsOf(v.Type())
	pairs := d.unique(n, path)
	if v.Type() == reflect.TypeFor[Service]() {
		d.usualKinds(pairs, path)
	}
	for _, p := range pairs {
		at := p.Key.At
		if i := indexOf(keys, p.Key.Text); i >= 0 {
			d.key(p, v.FieldByIndex(keys[i].index), &keys[i], path.Child(p.Key.Text))
			continue
		}
		if slices.Contains(reserved, p.Key.Text) {
			d.fail(path.Child(p.Key.Text), at,
				"the key "+wording.Show(p.Key.Text)+path.In()+" is not available in this version",
				"leave it out for now")
			continue
		}
		d.fail(path.Child(p.Key.Text), at, "unknown key "+wording.Show(p.Key.Text)+path.In(),
			wording.Suggestion(p.Key.Text, names(keys)))
	}
}

// key decodes a key's value into v.
func (d *decoder) key(p document.Pair, v reflect.Value, f *field, path place.Path) {
	d.note(path, p.Key.At)
	d.value(p.Value, v, f, path)
}

func indexOf(fields []field, name string) int {
	for i := range fields {
		if fields[i].name == name {
			return i
		}
	}
	return -1
}

// unique drops what << brought in where the key is written out, and reports keys that are written twice.
func (d *decoder) unique(n *document.Node, path place.Path) []document.Pair {
	own := map[string]place.Position{}
	for _, p := range n.Pairs {
		if !p.Merged {
			if first, dup := own[p.Key.Text]; dup {
				d.fail(path.Child(p.Key.Text), p.Key.At, fmt.Sprintf("the key %s%s stands twice, first in line %d",
					wording.Show(p.Key.Text), path.In(), first.Line), "keep one")
				continue
			}
			own[p.Key.Text] = p.Key.At
		}
	}
	var out []document.Pair
	seen := map[string]bool{}
	for _, p := range n.Pairs {
		if _, written := own[p.Key.Text]; seen[p.Key.Text] || (p.Merged && written) {
			continue
		}
		seen[p.Key.Text] = true
		out = append(out, p)
	}
	return out
}

var (
	ownName    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")
)

func (d *decoder) entries(n *document.Node, v reflect.Value, f *field, path place.Path) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, p := range d.unique(n, path) {
		child, key := path.Child(p.Key.Text), reflect.ValueOf(p.Key.Text)
		if f.keys == "name" && !ownName.MatchString(p.Key.Text) {
			d.fail(child, p.Key.At, wording.Show(p.Key.Text)+" cannot be a name in "+path.String(),
				"names are a-z, 0-9, '-' and '_', begin with a letter or digit and have at most 63 characters")
			continue
		}
		if first, dup := d.cfg.positions.Get(child.String()); dup && v.MapIndex(key).IsValid() {
			d.fail(child, p.Key.At, fmt.Sprintf("%s is defined already at %s", child.Subject(), first),
				"a name belongs to one file")
			continue
		}
		d.note(child, p.Key.At)
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(p.Value, elem, f, child)
		v.SetMapIndex(key, elem)
	}
}

const emptyList = "name at least one, or leave the key out"

func (d *decoder) list(n *document.Node, v reflect.Value, f *field, path place.Path) {
	if len(n.Items) == 0 {
		d.fail(path, n.At, path.Subject()+" has no entries", emptyList)
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, len(n.Items))
	for i, item := range n.Items {
		elem := reflect.New(v.Type().Elem()).Elem()
		before := len(d.rep.Errs)
		child := path.Child(strconv.Itoa(i))
		d.note(child, item.At)
		d.value(item, elem, f, child)
		// maps keep their numbers
		if len(d.rep.Errs) == before || elem.Kind() == reflect.Struct && !isLeaf(elem.Type()) {
			out = reflect.Append(out, elem)
		}
	}
	v.Set(out)
}

type leafAt struct {
	leaf
	path place.Path
}

func (d *decoder) leaf(n *document.Node, v reflect.Value, f *field, l leafAt) {
	subject := l.path.Subject()
	switch n.Kind {
	case document.Scalar:
	case document.Null:
		d.fail(l.path, n.At, subject+" has no value", "give it one, or leave the key out")
		return
	case document.Map, document.List:
		d.fail(l.path, n.At, fmt.Sprintf("%s is %s, not %s", subject, document.Scalar, n.Kind), formHint(l.leaf, f))
		return
	}
	d.note(l.path, n.At)
	if err := setLeaf(v, f, l.leaf, n.Text); err != nil {
		d.fail(l.path, n.At, subject+": "+err.Error(), fault.HintOf(err))
		return
	}
	if f.path != "" {
		v.SetString(d.cfg.placeFile(l.path.String(), d.dir, n.Text))
	}
}

func formHint(l leaf, f *field) string {
	if l.secretly {
		return "write a reference: ref+<store>://<path>#<field>"
	}
	if f.eg != "" && f.typ.Kind() != reflect.Slice {
		return "write it as " + f.eg
	}
	return ""
}

// setLeaf parses text into v and checks it against the field's enum and bounds. Its errors show text only when that is
// safe.
func setLeaf(v reflect.Value, f *field, l leaf, text string) error {
	if len(f.enum) > 0 && !slices.Contains(f.enum, text) {
		if slices.Contains(f.later, text) {
			return fault.WithHint(fmt.Errorf("%s comes with a later version", wording.Show(text)),
				"allowed now: "+strings.Join(f.enum, ", "))
		}
		return fault.WithHint(fmt.Errorf("%s is not allowed", wording.Show(text)), wording.Suggestion(text, f.enum))
	}
	if text == "" && (v.Kind() == reflect.String || v.Type() == reflect.TypeFor[notation.Text]()) {
		return fault.WithHint(errors.New("is empty"), "give it a value, or leave the key out")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && (r != '\n' || f.lines == "") || r == 0x7f }) {
		return errors.New("the value has a line break or a control character")
	}
	x, err := l.parse(text)
	if err != nil {
		if l.secretly || !showsWell(text, l) {
			return err
		}
		return fmt.Errorf("%s: %w", wording.Show(text), err)
	}
	if err := checkBounds(x, f, l); err != nil {
		return err
	}
	v.Set(reflect.ValueOf(x).Convert(v.Type()))
	return nil
}

// showsWell keeps URLs, where a password may stand, and long text out of messages.
func showsWell(text string, l leaf) bool {
	return l.title != "URL" && len(text) <= 64 && !wording.MayBeSecret(text)
}

func checkBounds(x any, f *field, l leaf) error {
	number, ok := asInt(x)
	if !ok {
		return nil
	}
	least, greatest := bound(f.min, l), bound(f.max, l)
	switch {
	case f.min != "" && number < least:
		return fmt.Errorf("%v is too small: at least %s", formatLeaf(reflect.ValueOf(x)), f.min)
	case f.max != "" && number > greatest:
		return fmt.Errorf("%v is too large: at most %s", formatLeaf(reflect.ValueOf(x)), f.max)
	}
	return nil
}

func bound(text string, l leaf) int64 {
	if text == "" {
		return 0
	}
	x, err := l.parse(text)
	if err != nil {
		panic(fmt.Sprintf("the declaration's bound %q: %v", text, err)) // a test decodes every field
	}
	n, _ := asInt(x)
	return n
}

func asInt(x any) (int64, bool) {
	v := reflect.ValueOf(x)
	if v.CanInt() {
		return v.Int(), true
	}
	return 0, false
}

// fail reports and marks everything around path as broken, so that checks do not report what follows from it.
func (d *decoder) fail(path place.Path, at place.Position, message, hint string) {
	for i := range path {
		d.rep.Broken[path[:i+1].String()] = true
	}
	d.rep.Fail(at, message, hint)
}

// note remembers where a key stands; a value replaces its key's position.
func (d *decoder) note(path place.Path, at place.Position) { d.cfg.positions.Set(path.String(), at) }

// placeFile makes a file name absolute to the folder it was written in. Names under <data>/ follow the data directory.
func (c *Config) placeFile(key, dir, name string) string {
	if rest, ok := strings.CutPrefix(name, dataPrefix); ok {
		c.underData[key] = rest
		return filepath.Join(c.Data, rest)
	}
	delete(c.underData, key)
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

const dataPrefix = "<data>/"
