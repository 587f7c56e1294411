package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/finding"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/place"
	"sallyport/internal/config/wording"
	"sallyport/internal/fault"
)

// Origin is one value of the configuration and where it comes from.
type Origin struct {
	Key string `json:"key"` // dotted: services.openai.limits.rate
	// as in YAML; secrets are references here as everywhere, and what looks like one elsewhere is not shown
	Value string `json:"value"`
	From  string `json:"from"` // "default", "preset openai", "sallyport.yaml:12", or what Override was told
}

// Origins lists every value that is set, in the order of the declaration and of names.
func Origins(c *Config) []Origin {
	return c.origins(nil, reflect.ValueOf(c).Elem(), nil, nil)
}

func (c *Config) origins(out []Origin, v reflect.Value, f *declare.Field, path place.Path) []Origin {
	if declare.IsLeaf(v.Type()) {
		return c.origin(out, f, path, declare.Format(v))
	}
	switch v.Kind() { //nolint:exhaustive // the declaration uses no others
	case reflect.Struct:
		fields, _ := declare.Keys(v.Type())
		for i := range fields {
			out = c.origins(out, v.FieldByIndex(fields[i].Index), &fields[i], path.Child(fields[i].Name))
		}
		if settings, ok := declare.SettingsIn(v); ok {
			out = c.origins(out, settings, nil, path)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out = c.origins(out, v.Elem(), f, path)
		}
	case reflect.Map:
		for _, key := range declare.MapKeys(v) {
			out = c.origins(out, v.MapIndex(reflect.ValueOf(key)), f.OfElements(), path.Child(key))
		}
	case reflect.Interface:
		if !v.IsNil() {
			out = c.origin(out, f, path, showTree(v.Interface()))
		}
	case reflect.Slice:
		if elem := v.Type().Elem(); elem.Kind() == reflect.Struct && !declare.IsLeaf(elem) {
			for i := range v.Len() {
				out = c.origins(out, v.Index(i), nil, path.Child(strconv.Itoa(i)))
			}
			return out
		}
		items := make([]string, v.Len())
		for i := range items {
			items[i] = declare.Format(v.Index(i))
		}
		out = c.origin(out, f, path, "["+strings.Join(items, ", ")+"]")
	}
	return out
}

// showTree writes a free-form value as YAML has it, without texts that may be secrets.
func showTree(node any) string {
	switch n := node.(type) {
	case map[string]any:
		items := make([]string, 0, len(n))
		for _, name := range slices.Sorted(maps.Keys(n)) {
			items = append(items, name+": "+showTree(n[name]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	case []any:
		items := make([]string, len(n))
		for i := range n {
			items[i] = showTree(n[i])
		}
		return "[" + strings.Join(items, ", ") + "]"
	case notation.Text:
		if text, ok := n.Plain(); ok && wording.MayBeSecret(text) {
			return notShown
		}
		return n.String()
	case nil:
		return "null"
	}
	return fmt.Sprint(node)
}

const notShown = "[not shown]"

func (c *Config) origin(out []Origin, f *declare.Field, path place.Path, value string) []Origin {
	p, ok := c.positions.Get(path.String())
	switch owner, _ := place.Owner(path.String()); {
	case ok:
	case owner != "" && f != nil && f.Def != "": // which positions leaves out
		p.From = place.FromDefault
	default:
		return out
	}
	if f != nil && f.Free != "" && wording.MayBeSecret(value) && !strings.HasPrefix(value, "ref+") {
		value = notShown
	}
	return append(out, Origin{Key: path.String(), Value: value, From: p.String()})
}

// Override sets a single value from elsewhere: Override("data", "/srv/sallyport", "--data flag"). What hangs on it (the
// files below the data directory) follows, and the whole is checked again, so an error may be about another key. A file
// name is relative to the working directory. After an error the configuration is not to be used. Services and tokens
// are not to be set: another configuration may have them too (see Loader).
func (c *Config) Override(key, value, from string) error {
	owner, _ := place.Owner(key)
	v, f, ok := c.find(key)
	if !ok || !declare.IsLeaf(v.Type()) || owner != "" {
		return fmt.Errorf("setting %s by %s: no such single value in the configuration", strconv.Quote(key), from)
	}
	l, _ := declare.LeafOf(v.Type())
	if err := declare.Set(v, f, l, value); err != nil {
		return Errors{{File: from, Message: place.Subject(key) + ": " + err.Error(), Hint: fault.HintOf(err)}}
	}
	if f.Path != "" {
		v.SetString(c.placeFile(key, "", value))
	}
	c.positions.Set(key, place.Position{From: from})
	c.settle()
	rep := finding.NewReport()
	c.check(rep, nil)
	_, err := rep.Finish()
	return err
}
