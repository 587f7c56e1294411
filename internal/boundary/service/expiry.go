package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
	"sallyport/internal/jsonpointer"
)

// Expiry is how an API says that a token has expired.
type Expiry struct {
	statuses []int
	fields   []expiredField
	within   int64
}

// expiredField is a field of a JSON body, and what it says of an expired token.
type expiredField struct {
	steps jsonpointer.Pointer
	in    []string
}

// newExpiry joins what the credentials say; nil when none of them says anything.
func newExpiry(placements []config.Credential) (*Expiry, error) {
	e := &Expiry{}
	some := false
	for i := range placements {
		minting, ok := placements[i].Settings.(credential.Minting)
		if !ok {
			continue
		}
		some = true
		when := minting.Expires()
		if when == nil {
			when = &credential.ExpiredWhen{Status: []int{http.StatusUnauthorized}}
		}
		e.statuses = append(e.statuses, when.Status...)
		if when.Body == nil {
			continue
		}
		steps, err := jsonpointer.Parse(when.Body.Pointer)
		if err != nil {
			return nil, fmt.Errorf("reading expired_when: the pointer %q %w", when.Body.Pointer, err)
		}
		e.fields = append(e.fields, expiredField{steps, when.Body.In})
		e.within = max(e.within, int64(when.Body.Within))
	}
	if !some {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return e, nil
}

// ByStatus tells whether a status alone says that the token has expired.
func (e *Expiry) ByStatus(status int) bool { return e != nil && slices.Contains(e.statuses, status) }

// InBody tells whether the body of such a response may say it: of JSON, or of what may be, and never of an event
// stream.
func (e *Expiry) InBody(h http.Header) bool {
	if e == nil || len(e.fields) == 0 {
		return false
	}
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err != nil || media == "" || media == "text/plain" || strings.HasSuffix(media, "json")
}

// Within is how many bytes of a body are looked at.
func (e *Expiry) Within() int64 { return e.within }

// Says reads JSON until it is clear whether the token has expired. It reads no further than it must, and an end or a
// fault of what it reads is a no.
func (e *Expiry) Says(body io.Reader) bool {
	beginning, ok := opening(body)
	if !ok {
		return false
	}
	w := walk{dec: json.NewDecoder(io.MultiReader(bytes.NewReader(beginning), body))}
	w.dec.UseNumber()
	first, err := w.dec.Token()
	if err != nil {
		return false
	}
	open := make([]follow, 0, len(e.fields))
	for i := range e.fields {
		open = append(open, follow{steps: e.fields[i].steps, in: e.fields[i].in})
	}
	w.left = len(open)
	if open = within(first, open); len(open) == 0 {
		return false // such as a list that goes on for as long as the API has something to say
	}
	said, _ := w.container(first, open)
	return said
}

// within leaves of the fields those that can be behind the bracket: of a list only what has a number for a name.
func within(bracket json.Token, open []follow) []follow {
	if bracket != json.Delim('[') {
		return open
	}
	return slices.DeleteFunc(open, func(f follow) bool {
		_, index := jsonpointer.Index(f.steps[0])
		return !index
	})
}

// opening reads up to the bracket that an object or a list begins with, and returns what it has read from there.
// Anything else is no document to look into.
func opening(body io.Reader) ([]byte, bool) {
	buf := make([]byte, 512)
	for {
		n, err := body.Read(buf)
		if text := bytes.TrimLeft(buf[:n], " \t\r\n"); len(text) > 0 {
			return text, text[0] == '{' || text[0] == '['
		}
		if err != nil {
			return nil, false
		}
	}
}

// follow is a field on the way to it.
type follow struct {
	steps jsonpointer.Pointer
	in    []string
}

// walk goes through a document once, for all the fields.
type walk struct {
	dec  *json.Decoder
	left int // of the fields, how many have not been seen yet
}

// container reads on behind an opening bracket. more is false when there is no need or no way to read on.
func (w *walk) container(bracket json.Token, open []follow) (said, more bool) {
	object := bracket == json.Delim('{')
	for i := 0; w.dec.More(); i++ {
		name := strconv.Itoa(i)
		if object {
			key, err := w.dec.Token()
			if err != nil {
				return false, false
			}
			name, _ = key.(string)
		}
		if said, more = w.value(name, open); said || !more {
			return said, more
		}
	}
	_, err := w.dec.Token()
	return false, err == nil
}

// value reads one member or element.
func (w *walk) value(name string, open []follow) (said, more bool) {
	var inner []follow
	for _, f := range open {
		if f.steps[0] == name {
			inner = append(inner, follow{f.steps[1:], f.in})
		}
	}
	token, err := w.dec.Token()
	if err != nil {
		return false, false
	}
	deeper := inner[:0]
	for _, f := range inner {
		if len(f.steps) > 0 {
			deeper = append(deeper, f)
			continue
		}
		if w.left--; slices.ContainsFunc(f.in, func(want string) bool { return sameScalar(token, want) }) {
			return true, false
		}
	}
	if w.left == 0 {
		return false, false
	}
	bracket, is := token.(json.Delim)
	deeper = within(token, deeper)
	switch {
	case !is:
		return false, true
	case len(deeper) == 0:
		return false, w.skip()
	default:
		return w.container(bracket, deeper)
	}
}

// skip reads on to the closing bracket.
func (w *walk) skip() bool {
	for depth := 1; depth > 0; {
		token, err := w.dec.Token()
		if err != nil {
			return false
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return true
}

// sameScalar compares a value of a document with one of the configuration, numbers by what they are worth.
func sameScalar(token json.Token, want string) bool {
	switch v := token.(type) {
	case string:
		return v == want
	case bool:
		return strconv.FormatBool(v) == want
	case json.Number:
		if v.String() == want {
			return true
		}
		a, err1 := v.Float64()
		b, err2 := strconv.ParseFloat(want, 64)
		return err1 == nil && err2 == nil && a == b
	}
	return false
}
