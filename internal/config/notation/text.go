package notation

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"sallyport/internal/secret"
)

// Text is a value that may be secret or not: written as it is, or a reference. Usually it is one part; an input that
// stands inside a longer text makes several. The zero Text is none.
type Text []TextPart

// TextPart is a piece of a Text. Exactly one field is set.
type TextPart struct {
	Plain string
	Ref   secret.Ref
}

// PlainText is a Text that is no secret; "" is none.
func PlainText(s string) Text {
	if s == "" {
		return nil
	}
	return Text{{Plain: s}}
}

// RefText is a Text that is a secret.
func RefText(r secret.Ref) Text { return Text{{Ref: r}} }

// ParseText reads a reference, or takes s as it is. The error is that of a malformed reference and quotes nothing.
func ParseText(s string) (Text, error) {
	if !strings.HasPrefix(s, "ref+") && !strings.HasPrefix(s, "op://") {
		if _, isRef, _ := secret.ParseAny(s); !isRef || strings.HasPrefix(s, "file:") {
			return PlainText(s), nil
		}
	}
	ref, err := ParseRef(s)
	if err != nil {
		return nil, err
	}
	return RefText(ref), nil
}

// IsZero tells whether there is nothing.
func (t Text) IsZero() bool { return len(t) == 0 }

// IsRef tells whether the whole is one reference.
func (t Text) IsRef() bool { return len(t) == 1 && !t[0].Ref.IsZero() }

// Plain returns the text where no part is a reference.
func (t Text) Plain() (string, bool) {
	var b strings.Builder
	for _, p := range t {
		if !p.Ref.IsZero() {
			return "", false
		}
		b.WriteString(p.Plain)
	}
	return b.String(), true
}

// Refs returns the references, in order.
func (t Text) Refs() []secret.Ref {
	var out []secret.Ref
	for _, p := range t {
		if !p.Ref.IsZero() {
			out = append(out, p.Ref)
		}
	}
	return out
}

// Resolve joins the parts, each reference by what get returns for it. The zero Text gives the zero Value.
func (t Text) Resolve(get func(secret.Ref) (secret.Value, error)) (secret.Value, error) {
	if t.IsZero() {
		return secret.Value{}, nil
	}
	if t.IsRef() {
		return get(t[0].Ref)
	}
	var b bytes.Buffer
	for _, p := range t {
		if p.Ref.IsZero() {
			b.WriteString(p.Plain)
			continue
		}
		value, err := get(p.Ref)
		if err != nil {
			return secret.Value{}, err
		}
		b.Write(value.Reveal())
	}
	return secret.NewValue(b.Bytes()), nil
}

// String writes references as such, never a secret.
func (t Text) String() string {
	var b strings.Builder
	for _, p := range t {
		if p.Ref.IsZero() {
			b.WriteString(p.Plain)
		} else {
			b.WriteString(p.Ref.String())
		}
	}
	return b.String()
}

// RefsWithin appends every reference in a value of a login call's JSON.
func RefsWithin(out []secret.Ref, node any) []secret.Ref {
	switch n := node.(type) {
	case Text:
		return append(out, n.Refs()...)
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(n)) {
			out = RefsWithin(out, n[name])
		}
	case []any:
		for _, item := range n {
			out = RefsWithin(out, item)
		}
	}
	return slices.Clip(out)
}
