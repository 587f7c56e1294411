package derive

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"sallyport/internal/boundary/scrub"
)

// object reads the body as one object. What it is shows in itself and not in its label: servers send JSON as text/html,
// which is the default of many, as text/plain, as a form, or without a label; some old providers answer with a form,
// labelled as anything. Names are exact, and none stands twice: what two readers would read differently is not read.
func (a *answer) object() (map[string]json.RawMessage, error) {
	body := a.text()
	switch {
	case len(body) == 0:
		return nil, errors.New("nothing")
	case body[0] == '<':
		return nil, errors.New("HTML")
	case body[0] == '{' || body[0] == '[' || body[0] == '"':
		return jsonObject(body)
	}
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err == nil && kind == "application/x-www-form-urlencoded" || looksLikeForm(body) {
		return formObject(body)
	}
	return nil, errNoObject
}

// text is the body without white space around it and without a byte order mark, which RFC 8259 section 8.1 lets a
// reader ignore.
func (a *answer) text() []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(a.body), []byte("\xef\xbb\xbf")))
}

// document is the body as JSON: as it is, or a form as an object; null where it is neither.
func (a *answer) document() json.RawMessage {
	body := a.text()
	if json.Valid(body) {
		return body
	}
	if m, err := a.object(); err == nil {
		if doc, err := json.Marshal(m); err == nil {
			return doc
		}
	}
	return json.RawMessage("null")
}

// looksLikeForm tells a form without a label from other text: pairs, and names as providers have them.
func looksLikeForm(body []byte) bool {
	for pair := range bytes.SplitSeq(body, []byte("&")) {
		name, _, found := bytes.Cut(pair, []byte("="))
		if !found || !codeForm.Match(name) {
			return false
		}
	}
	return !bytes.ContainsAny(body, " \t\r\n")
}

var errNoObject = errors.New("something that is not one JSON object")

func jsonObject(body []byte) (map[string]json.RawMessage, error) {
	if !json.Valid(body) || body[0] != '{' {
		return nil, errNoObject
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if _, err := d.Token(); err != nil {
		return nil, errNoObject
	}
	m := make(map[string]json.RawMessage)
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		var raw json.RawMessage
		if err != nil || !ok || d.Decode(&raw) != nil {
			return nil, errNoObject
		}
		if _, twice := m[name]; twice {
			return nil, errors.New("a JSON object in which a name stands twice")
		}
		m[name] = raw
	}
	return m, nil
}

func jsonObjectOf(raw json.RawMessage) (map[string]json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, errNoObject
	}
	return jsonObject(raw)
}

func formObject(body []byte) (map[string]json.RawMessage, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.New("a form that cannot be read")
	}
	m := make(map[string]json.RawMessage, len(form))
	for name, values := range form {
		if len(values) > 1 {
			return nil, errors.New("a form in which a name stands twice")
		}
		if m[name], err = json.Marshal(values[0]); err != nil {
			return nil, errors.New("a form that cannot be read")
		}
	}
	return m, nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// isBlank tells that a member is not there, or that nothing is in it.
func isBlank(raw json.RawMessage) bool { return raw == nil || isNull(raw) || string(raw) == `""` }

// plainly takes a content coding off a body, though none was asked for. A coding that is none, such as a charset, and a
// body that is not what its coding says, are left as they are: reading them as an object shows what they are.
func plainly(h http.Header, body []byte) []byte {
	coding := h.Get("Content-Encoding")
	if coding == "" || strings.EqualFold(coding, "identity") {
		return body
	}
	r, err := scrub.Decoder(coding, bytes.NewReader(body))
	if err != nil {
		return body
	}
	defer func() { _ = r.Close() }()
	plain, err := io.ReadAll(io.LimitReader(r, MaxAnswer+1))
	if err != nil {
		return body
	}
	return plain
}
