package credential

import (
	"sallyport/internal/config"
	"sallyport/internal/secret"
)

// Reader resolves what a credential is made of. Its first error stays, and everything after it is empty.
type Reader struct {
	Get func(secret.Ref) (secret.Value, error)
	Err error
}

// Value is the secret that a reference names; the zero Value for none.
func (r *Reader) Value(ref secret.Ref) secret.Value {
	if r.Err != nil || ref.IsZero() {
		return secret.Value{}
	}
	v, err := r.Get(ref)
	r.Err = err
	return v
}

// Text is a text with its references resolved.
func (r *Reader) Text(t config.Text) secret.Value {
	if r.Err != nil {
		return secret.Value{}
	}
	v, err := t.Resolve(r.Get)
	r.Err = err
	return v
}

// Plain is for what is no secret, though it may come from a store.
func (r *Reader) Plain(t config.Text) string { return string(r.Text(t).Reveal()) }

// Texts is Text for each of a map; nil for nil.
func (r *Reader) Texts(m map[string]config.Text) map[string]secret.Value {
	if m == nil {
		return nil
	}
	out := make(map[string]secret.Value, len(m))
	for name, t := range m {
		out[name] = r.Text(t)
	}
	return out
}

// Tree resolves the JSON of a login call.
func (r *Reader) Tree(node any) any {
	switch n := node.(type) {
	case config.Text:
		if text, plain := n.Plain(); plain {
			return text
		}
		return r.Text(n)
	case map[string]any:
		out := make(map[string]any, len(n))
		for name, inner := range n {
			out[name] = r.Tree(inner)
		}
		return out
	case []any:
		out := make([]any, len(n))
		for i, inner := range n {
			out[i] = r.Tree(inner)
		}
		return out
	}
	return node
}
