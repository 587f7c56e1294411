package decode

import (
	"strconv"

	"sallyport/internal/config/document"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/place"
	"sallyport/internal/fault"
)

// tree reads free-form JSON: objects and lists, and below them texts, references, numbers, true, false and null.
func (d *Decoder) tree(n *document.Node, path place.Path) any {
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
	d.Note(path, n.At)
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
