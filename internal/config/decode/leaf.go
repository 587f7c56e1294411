package decode

import (
	"fmt"
	"reflect"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/document"
	"sallyport/internal/config/place"
	"sallyport/internal/fault"
)

type leafAt struct {
	declare.Leaf
	path place.Path
}

func (d *Decoder) leaf(n *document.Node, v reflect.Value, f *declare.Field, l leafAt) {
	subject := l.path.Subject()
	switch n.Kind {
	case document.Scalar:
	case document.Null:
		d.fail(l.path, n.At, subject+" has no value", "give it one, or leave the key out")
		return
	case document.Map, document.List:
		d.fail(l.path, n.At, fmt.Sprintf("%s is %s, not %s", subject, document.Scalar, n.Kind), formHint(l.Leaf, f))
		return
	}
	d.Note(l.path, n.At)
	if err := declare.Set(v, f, l.Leaf, n.Text); err != nil {
		d.fail(l.path, n.At, subject+": "+err.Error(), fault.HintOf(err))
		return
	}
	if f.Path != "" {
		v.SetString(d.File(l.path.String(), n.Text))
	}
}

func formHint(l declare.Leaf, f *declare.Field) string {
	if l.Secretly {
		return "write a reference: ref+<store>://<path>#<field>"
	}
	if f.Eg != "" && f.Type.Kind() != reflect.Slice {
		return "write it as " + f.Eg
	}
	return ""
}
