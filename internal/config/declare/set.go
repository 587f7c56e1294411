package declare

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"sallyport/internal/config/notation"
	"sallyport/internal/config/wording"
	"sallyport/internal/fault"
)

// Set parses text into v and checks it against the field's enum and bounds. Its errors show text only when that is
// safe.
func Set(v reflect.Value, f *Field, l Leaf, text string) error {
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, text) {
		if slices.Contains(f.Later, text) {
			return fault.WithHint(fmt.Errorf("%s comes with a later version", wording.Show(text)),
				"allowed now: "+strings.Join(f.Enum, ", "))
		}
		return fault.WithHint(fmt.Errorf("%s is not allowed", wording.Show(text)), wording.Suggestion(text, f.Enum))
	}
	if text == "" && (v.Kind() == reflect.String || v.Type() == reflect.TypeFor[notation.Text]()) {
		return fault.WithHint(errors.New("is empty"), "give it a value, or leave the key out")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && (r != '\n' || f.Lines == "") || r == 0x7f }) {
		return errors.New("the value has a line break or a control character")
	}
	x, err := l.parse(text)
	if err != nil {
		if l.Secretly || !showsWell(text, l) {
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
func showsWell(text string, l Leaf) bool {
	return l.Title != "URL" && len(text) <= 64 && !wording.MayBeSecret(text)
}

func checkBounds(x any, f *Field, l Leaf) error {
	number, ok := asInt(x)
	if !ok {
		return nil
	}
	least, greatest := bound(f.Min, l), bound(f.Max, l)
	switch {
	case f.Min != "" && number < least:
		return fmt.Errorf("%v is too small: at least %s", Format(reflect.ValueOf(x)), f.Min)
	case f.Max != "" && number > greatest:
		return fmt.Errorf("%v is too large: at most %s", Format(reflect.ValueOf(x)), f.Max)
	}
	return nil
}

func bound(text string, l Leaf) int64 {
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

// parseDefaults returns the values of the declaration's default: one, or the entries of a list.
func (f *Field) parseDefaults() []reflect.Value {
	texts, t := []string{f.Def}, f.Type
	if t.Kind() == reflect.Slice {
		texts, t = strings.Split(f.Def, ","), t.Elem()
	}
	out := make([]reflect.Value, len(texts))
	l, _ := LeafOf(t)
	for i, text := range texts {
		out[i] = reflect.New(t).Elem()
		if err := Set(out[i], f, l, text); err != nil {
			panic(fmt.Sprintf("the declaration's default %q of %s: %v", text, f.Name, err)) // Default's test meets it
		}
	}
	return out
}
