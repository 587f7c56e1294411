package credential

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/jsonpointer"
	"sallyport/internal/secret"
)

// How the body is written that a credential goes into.
const (
	AsJSON = "json"
	AsForm = "form"
)

// maxEdited is the largest body, in bytes, that a credential is put into: it is in memory while that is done.
const maxEdited = 16 << 20

const formType = "application/x-www-form-urlencoded"

// bodyField is the field of a body that holds the secret.
type bodyField struct {
	steps jsonpointer.Pointer // of the JSON pointer; of a form the one name
	form  bool
	value string
}

// field is a field of the request's body.
func field(s Spec, value secret.Value) (placement, error) {
	steps, err := jsonpointer.Parse(s.Pointer)
	if err != nil {
		return placement{}, fmt.Errorf("the pointer %q %w", s.Pointer, err)
	}
	f := &bodyField{steps: steps, form: s.As == AsForm}
	switch {
	case s.As != AsJSON && s.As != AsForm:
		return placement{}, fmt.Errorf("a body is written as json or form, not as %q", s.As)
	case f.form && len(steps) > 1:
		return placement{}, fmt.Errorf("a form has fields, and nothing below them: the pointer %q has %d names",
			s.Pointer, len(steps))
	}
	f.value, err = bodyValue(s.Format, value)
	return placement{field: f}, err
}

// put sets the field in the whole body, which then is another one.
func (f *bodyField) put(ctx context.Context, o *Outgoing) *fault.Fault {
	if why := f.unfit(o.Header); why != "" {
		return notThere(why)
	}
	body, flt := wholeBody(ctx, o)
	if flt != nil {
		return flt
	}
	if f.form {
		body = formField(body, f.steps[0], f.value)
	} else if body, flt = jsonField(body, f.steps, f.value); flt != nil {
		return flt
	}
	if len(o.Header["Content-Type"]) == 0 {
		o.Header["Content-Type"] = []string{f.contentType()}
	}
	o.Body = Bytes(body)
	return nil
}

func (f *bodyField) contentType() string {
	if f.form {
		return formType
	}
	return "application/json"
}

// unfit says why the body cannot be read as what the credential goes into, or "".
func (f *bodyField) unfit(h http.Header) string {
	if coding := strings.Join(h["Content-Encoding"], ","); coding != "" && !strings.EqualFold(coding, "identity") {
		return "is in a content coding"
	}
	if f.form && len(h["Content-Type"]) > 0 {
		if media, _, err := mime.ParseMediaType(h["Content-Type"][0]); err != nil || media != formType {
			return "is no form (" + formType + ")"
		}
	}
	return ""
}

func wholeBody(ctx context.Context, o *Outgoing) ([]byte, *fault.Fault) {
	if o.Body == nil {
		return nil, nil
	}
	content, size, err := o.Body.Whole(ctx)
	if err != nil {
		return nil, faultOf(ctx, "reading the request body", err)
	}
	if size > maxEdited {
		return nil, fault.New(fault.BodyTooLarge, "the request body is larger than what a credential can be put into")
	}
	// The whole body, what it is copied into, and that once more while it is sent.
	if r, ok := o.Body.(interface{ Room(n int64) *fault.Fault }); ok {
		if f := r.Room(3 * size); f != nil {
			return nil, f
		}
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(content, body); err != nil {
		return nil, faultOf(ctx, "reading the request body", err)
	}
	return body, nil
}

// Bytes is a Body that is in memory.
type Bytes []byte

// Whole implements sign.Body.
func (b Bytes) Whole(context.Context) (io.ReadSeeker, int64, error) {
	return bytes.NewReader(b), int64(len(b)), nil
}
