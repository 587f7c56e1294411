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

	"sallyport/internal/config/notation"
	"sallyport/internal/config/wording"
	"sallyport/internal/fault"
)

// decoder writes a tree into the declaration's structs, notes where each value stands, and goes on after every error.
type decoder struct {
	cfg *Config
	rep *report
	dir string // of the file

	usual map[string]string // key of a credential → the kind that it is of if it names none
}

// keyPath is the way to a value: ["services", "openai", "limits", "rate"].
type keyPath []string

func (p keyPath) String() string { return strings.Join(p, ".") }

func (p keyPath) child(name string) keyPath {
	return append(append(make(keyPath, 0, len(p)+1), p...), name)
}

// in names the surroundings for a message: ` in credential of service "openai"`.
func (p keyPath) in() string {
	if len(p) == 0 {
		return ""
	}
	return " in " + p.subject()
}

// subject names what stands at p: `limits.rate of service "openai"`.
func (p keyPath) subject() string {
	if len(p) < 2 {
		return p.String()
	}
	if i, err := strconv.Atoi(p[len(p)-1]); err == nil && len(p) > 3 {
		return fmt.Sprintf("entry %d of %s", i+1, p[:len(p)-1].subject())
	}
	if len(p) > 4 && p[2] == "credentials" {
		return p[4:].shown() + " of " + p[:4].subject()
	}
	kind, ok := map[string]string{"services": "service", "tokens": "token", "stores": "store"}[p[0]]
	if !ok {
		return p.String()
	}
	owner := kind + " " + wording.Show(p[1])
	if len(p) == 2 {
		return owner
	}
	return p[2:].shown() + " of " + owner
}

// shown is String without keys that may be secrets in the wrong place.
func (p keyPath) shown() string {
	out := slices.Clone(p)
	for i, name := range out {
		parts := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' })
		if slices.ContainsFunc(parts, func(part string) bool {
			return len(part) >= 16 && wording.MayBeSecret(part)
		}) || len(name) > 64 {
			out[i] = "…"
		}
	}
	return out.String()
}

func (d *decoder) value(n *node, v reflect.Value, f *field, path keyPath) {
	if l, ok := leafOf(v.Type()); ok {
		d.leaf(n, v, f, leafAt{l.of(f), path})
		return
	}
	switch v.Kind() { //nolint:exhaustive // the declaration uses no others
	case reflect.Struct:
		if d.want(n, mapNode, path) {
			d.structure(n, v, path)
		}
	case reflect.Pointer:
		if n.kind == nullNode && len(path) > 2 { // a service or token without keys is there all the same
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), f, path)
	case reflect.Map:
		if d.want(n, mapNode, path) {
			d.entries(n, v, f, path)
		}
	case reflect.Slice:
		if d.want(n, listNode, path) {
			d.list(n, v, f, path)
		}
	case reflect.Interface:
		if n.kind == scalarNode {
			d.fail(path, n.at, path.subject()+" is a single value, not a map or a list", "write it as "+f.eg)
			return
		}
		if tree := d.tree(n, path); tree != nil {
			v.Set(reflect.ValueOf(tree))
		}
	}
}

// tree reads free-form JSON: objects and lists, and below them texts, references, numbers, true, false and null.
func (d *decoder) tree(n *node, path keyPath) any {
	switch n.kind {
	case mapNode:
		out := make(map[string]any, len(n.pairs))
		for _, p := range d.unique(n, path) {
			out[p.key.text] = d.tree(p.value, path.child(p.key.text))
		}
		return out
	case listNode:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = d.tree(item, path.child(strconv.Itoa(i)))
		}
		return out
	case nullNode:
		return nil
	case scalarNode:
		if n.typed != nil {
			return n.typed
		}
	}
	d.note(path, n.at)
	text, err := notation.ParseText(n.text)
	if err != nil {
		d.fail(path, n.at, path.subject()+": "+err.Error(), fault.HintOf(err))
		return nil
	}
	if text.IsZero() {
		return notation.Text{{}}
	}
	return text
}

// want checks the shape. Nothing at all is an empty map: people comment out a map's last line. It is not an empty list:
// a list of rules or networks with every line commented out must not come to mean "everything".
func (d *decoder) want(n *node, kind nodeKind, path keyPath) bool {
	switch {
	case n.kind == kind:
		return true
	case n.kind == nullNode && kind == mapNode:
		return false
	case n.kind == nullNode:
		d.fail(path, n.at, path.subject()+" has no entries", emptyList)
	case kind == listNode && n.kind == scalarNode:
		d.fail(path, n.at, path.subject()+" is a list", "write it in brackets, [a, b], or as lines that begin with -")
	default:
		d.fail(path, n.at, fmt.Sprintf("%s is %s, not %s", path.subject(), kind, n.kind), "")
	}
	return false
}

func (d *decoder) structure(n *node, v reflect.Value, path keyPath) {
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
		at := p.key.at
		if i := indexOf(keys, p.key.text); i >= 0 {
			d.key(p, v.FieldByIndex(keys[i].index), &keys[i], path.child(p.key.text))
			continue
		}
		if slices.Contains(reserved, p.key.text) {
			d.fail(path.child(p.key.text), at,
				"the key "+wording.Show(p.key.text)+path.in()+" is not available in this version",
				"leave it out for now")
			continue
		}
		d.fail(path.child(p.key.text), at, "unknown key "+wording.Show(p.key.text)+path.in(),
			wording.Suggestion(p.key.text, names(keys)))
	}
}

// key decodes a key's value into v.
func (d *decoder) key(p pair, v reflect.Value, f *field, path keyPath) {
	d.note(path, p.key.at)
	d.value(p.value, v, f, path)
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
func (d *decoder) unique(n *node, path keyPath) []pair {
	own := map[string]position{}
	for _, p := range n.pairs {
		if !p.merged {
			if first, dup := own[p.key.text]; dup {
				d.fail(path.child(p.key.text), p.key.at, fmt.Sprintf("the key %s%s stands twice, first in line %d",
					wording.Show(p.key.text), path.in(), first.line), "keep one")
				continue
			}
			own[p.key.text] = p.key.at
		}
	}
	var out []pair
	seen := map[string]bool{}
	for _, p := range n.pairs {
		if _, written := own[p.key.text]; seen[p.key.text] || (p.merged && written) {
			continue
		}
		seen[p.key.text] = true
		out = append(out, p)
	}
	return out
}

var (
	ownName    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")
)

func (d *decoder) entries(n *node, v reflect.Value, f *field, path keyPath) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, p := range d.unique(n, path) {
		child, key := path.child(p.key.text), reflect.ValueOf(p.key.text)
		if f.keys == "name" && !ownName.MatchString(p.key.text) {
			d.fail(child, p.key.at, wording.Show(p.key.text)+" cannot be a name in "+path.String(),
				"names are a-z, 0-9, '-' and '_', begin with a letter or digit and have at most 63 characters")
			continue
		}
		if first, dup := d.cfg.positions.get(child.String()); dup && v.MapIndex(key).IsValid() {
			d.fail(child, p.key.at, fmt.Sprintf("%s is defined already at %s", child.subject(), first),
				"a name belongs to one file")
			continue
		}
		d.note(child, p.key.at)
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(p.value, elem, f, child)
		v.SetMapIndex(key, elem)
	}
}

const emptyList = "name at least one, or leave the key out"

func (d *decoder) list(n *node, v reflect.Value, f *field, path keyPath) {
	if len(n.items) == 0 {
		d.fail(path, n.at, path.subject()+" has no entries", emptyList)
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, len(n.items))
	for i, item := range n.items {
		elem := reflect.New(v.Type().Elem()).Elem()
		before := len(d.rep.errs)
		child := path.child(strconv.Itoa(i))
		d.note(child, item.at)
		d.value(item, elem, f, child)
		// maps keep their numbers
		if len(d.rep.errs) == before || elem.Kind() == reflect.Struct && !isLeaf(elem.Type()) {
			out = reflect.Append(out, elem)
		}
	}
	v.Set(out)
}

type leafAt struct {
	leaf
	path keyPath
}

func (d *decoder) leaf(n *node, v reflect.Value, f *field, l leafAt) {
	subject := l.path.subject()
	switch n.kind {
	case scalarNode:
	case nullNode:
		d.fail(l.path, n.at, subject+" has no value", "give it one, or leave the key out")
		return
	case mapNode, listNode:
		d.fail(l.path, n.at, fmt.Sprintf("%s is %s, not %s", subject, scalarNode, n.kind), formHint(l.leaf, f))
		return
	}
	d.note(l.path, n.at)
	if err := setLeaf(v, f, l.leaf, n.text); err != nil {
		d.fail(l.path, n.at, subject+": "+err.Error(), fault.HintOf(err))
		return
	}
	if f.path != "" {
		v.SetString(d.cfg.placeFile(l.path.String(), d.dir, n.text))
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
func (d *decoder) fail(path keyPath, at position, message, hint string) {
	for i := range path {
		d.rep.broken[path[:i+1].String()] = true
	}
	d.rep.fail(at, message, hint)
}

// note remembers where a key stands; a value replaces its key's position.
func (d *decoder) note(path keyPath, at position) { d.cfg.positions.set(path.String(), at) }

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
