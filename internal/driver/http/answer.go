package httpdriver

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/jsonpointer"
	"sallyport/internal/nesting"
	"sallyport/internal/program"
	"sallyport/internal/secret"
)

// answer is what the API said to a call.
type answer struct {
	status int
	header http.Header
	doc    any   // nil where there is nothing, or nothing that can be read
	err    error // why doc could not be read
}

// maxAnswer bounds an answer's body, in bytes.
const maxAnswer = 4 << 20

var (
	errLong   = errors.New("the answer is longer than 4 MiB")
	errNotDoc = errors.New("the answer cannot be read in the form that the definition names")
)

// read reads a whole answer.
func (d *Definition) read(response *http.Response) answer {
	a := answer{status: response.StatusCode, header: response.Header}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		a.err = errors.New("the answer broke off")
	case len(body) > maxAnswer:
		a.err = errLong
	default:
		a.doc, a.err = d.decode(body)
	}
	return a
}

func (d *Definition) decode(body []byte) (any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	if d.Answers == "xml" {
		return readXML(body)
	}
	if nesting.Check(body) != nil {
		return nil, errNotDoc
	}
	reader := json.NewDecoder(bytes.NewReader(body))
	reader.UseNumber()
	var doc any
	if reader.Decode(&doc) != nil || reader.More() {
		return nil, errNotDoc
	}
	return doc, nil
}

// readXML reads elements as JSON would be: an element with elements is an object of them, several of one name are a
// list, and so is one with the name member; any other is its text. Attributes and namespaces are left out.
func readXML(body []byte) (any, error) {
	reader := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := reader.Token()
		if err != nil {
			return nil, errNotDoc
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		inner, err := element(reader, 1)
		if err != nil {
			return nil, errNotDoc
		}
		return map[string]any{start.Name.Local: inner}, nil
	}
}

// deepestXML is how deep elements may be nested.
const deepestXML = 100

func element(reader *xml.Decoder, depth int) (any, error) {
	if depth > deepestXML {
		return nil, errNotDoc
	}
	children := map[string]any{}
	var text strings.Builder
	for {
		token, err := reader.Token()
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			inner, err := element(reader, depth+1)
			if err != nil {
				return nil, err
			}
			name := t.Name.Local
			switch before := children[name].(type) {
			case nil:
				if children[name] = inner; name == "member" {
					children[name] = []any{inner}
				}
			case []any:
				children[name] = append(before, inner)
			default:
				children[name] = []any{before, inner}
			}
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			if len(children) > 0 {
				return children, nil
			}
			return strings.TrimSpace(text.String()), nil
		}
	}
}

// textAt is what stands at p as text: a string, a number, true or false.
func textAt(doc any, p jsonpointer.Pointer) (string, bool) {
	if len(p) == 0 {
		return "", false
	}
	found, ok := p.In(doc)
	if !ok {
		return "", false
	}
	switch v := found.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// holds tells whether a condition holds for an answer.
func (c *Condition) holds(status int, doc any) bool {
	if c.Status != 0 && c.Status != status {
		return false
	}
	if c.At == "" {
		return true
	}
	text, there := textAt(doc, c.at)
	met := false
	switch {
	case c.Is != "":
		met = there && text == c.Is
	case c.Contains != "":
		met = there && strings.Contains(strings.ToLower(text), strings.ToLower(c.Contains))
	default:
		found, ok := c.at.In(doc)
		met = ok && found != nil && found != ""
	}
	return met != c.Not
}

func anyHolds(list []Condition, a answer) bool {
	return slices.ContainsFunc(list, func(c Condition) bool { return c.holds(a.status, a.doc) })
}

func allHold(list []Condition, status int, doc any) bool {
	return !slices.ContainsFunc(list, func(c Condition) bool { return !c.holds(status, doc) })
}

// key reads a key. ok is false where there is no id that can be one.
func (k *KeyAt) key(doc any) (key driver.Key, ok bool) {
	key.ID, ok = textAt(doc, k.id)
	if k.IDAfter != "" {
		if at := strings.LastIndex(key.ID, k.IDAfter); at >= 0 {
			key.ID = key.ID[at+len(k.IDAfter):]
		}
	}
	const longest = 300
	if !ok || key.ID == "" || len(key.ID) > longest || !printable(key.ID) {
		return driver.Key{}, false
	}
	key.Label, _ = textAt(doc, k.label)
	key.Created, key.Expires = timeAt(doc, k.created), timeAt(doc, k.expires)
	return key, true
}

// timeAt reads a time in the forms that APIs write: RFC 3339, the same without a zone, a date, seconds or milliseconds.
// Zero: it is none.
func timeAt(doc any, p jsonpointer.Pointer) time.Time {
	text, ok := textAt(doc, p)
	if !ok {
		return time.Time{}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		const milliseconds = 100_000_000_000
		if n > milliseconds {
			return time.UnixMilli(n).UTC()
		}
		return time.Unix(n, 0).UTC()
	}
	const withoutColon = "2006-01-02T15:04:05.999999999Z0700"
	for _, form := range []string{time.RFC3339Nano, withoutColon, withoutZone, time.DateOnly, time.RFC1123Z} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// value reads a key's value. ok is false where it is missing or empty.
func (v *ValueAt) value(doc any) (secret.Value, bool) {
	if v.At == "" {
		fields := make(map[string]string, len(v.fields))
		for name, p := range v.fields {
			text, ok := textAt(doc, p)
			if !ok || text == "" {
				return secret.Value{}, false
			}
			fields[name] = text
		}
		text, err := json.Marshal(fields)
		return secret.NewValue(text), err == nil
	}
	text, ok := textAt(doc, v.at)
	bytes := []byte(text)
	if v.Decode == "base64" {
		var err error
		if bytes, err = base64.StdEncoding.DecodeString(text); err != nil {
			return secret.Value{}, false
		}
	}
	return secret.NewValue(bytes), ok && len(bytes) > 0
}

// usual are the places where APIs say what went wrong.
var usual = []string{
	"/message", "/error/message", "/error_description", "/error", "/errors/0/message", "/errors/0/detail",
	"/errors/0/title", "/errors/0", "/detail", "/title", "/errorSummary", "/Message",
	"/ErrorResponse/Error/Message", "/msg",
}

// maxSaid bounds what is looked at of what an API says, in bytes. Far less is shown.
const maxSaid = 64 << 10

// said is what the API says of an error, on one line, without the known secrets and without anything that may be a key.
// The known ones come first: of one that was taken for several words only some would look like a key.
func (d *Definition) said(a answer, known []secret.Value) string {
	pointers := d.message
	for _, text := range usual {
		if p, err := jsonpointer.Parse(text); err == nil && len(d.message) == 0 {
			pointers = append(pointers, p)
		}
	}
	for _, p := range pointers {
		if text, ok := textAt(a.doc, p); ok && text != "" {
			text = text[:min(len(text), maxSaid)]
			return program.Clean(driver.Unkeyed(driver.Redact(text, parts(known)...)))
		}
	}
	return ""
}

// parts are values, and of those that are objects their fields.
func parts(values []secret.Value) (all []string) {
	for _, value := range values {
		all = append(all, string(value.Reveal()))
		var fields map[string]string
		if json.Unmarshal(value.Reveal(), &fields) == nil {
			all = slices.AppendSeq(all, maps.Values(fields))
		}
	}
	return all
}
