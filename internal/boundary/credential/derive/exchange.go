package derive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/secret"
)

// Where else than in the JSON body an Exchange's token may be.
const (
	FromBody   = "body"    // the whole body: text, or one JSON string
	FromHeader = "header:" // and the name of a header of the response
	FromCookie = "cookie:" // and the name of a cookie that the response sets
)

// ExchangeOptions are what an Exchange needs. At most one of JSON and Form is the body.
type ExchangeOptions struct {
	Endpoint Endpoint // Headers are those of the call; Params go into its query
	Method   string   // "": POST
	JSON     any      // maps, slices, strings, numbers, and secret.Value where a secret stands
	Form     map[string]secret.Value

	Token     string // JSON pointer to the token, or one of the From constants
	Lifetime  string // JSON pointer to seconds; "": none
	ExpiresAt string // JSON pointer to an instant; "": none
	Error     string // JSON pointer to the provider's error code; "": `error`
}

// Exchange is any login call: one request that answers with a token, and perhaps with how long it is good.
type Exchange struct {
	caller                      *caller
	o                           ExchangeOptions
	url, inputs                 string
	body                        []byte
	kind                        string // Content-Type
	token, life, expires, codes pointer
	secrets                     []secret.Value
}

// NewExchange returns a Minter, or what is wrong with the options.
func NewExchange(o ExchangeOptions) (*Exchange, error) {
	c, err := newCaller(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.Method == "" {
		o.Method = http.MethodPost
	}
	m := &Exchange{caller: c, o: o}
	if err := m.buildRequest(); err != nil {
		return nil, err
	}
	if err := m.parsePointers(); err != nil {
		return nil, err
	}
	f := newFingerprint("exchange")
	f.text(o.Method, m.url, m.kind, o.Token)
	f.bytes(m.body)
	f.values(o.Endpoint.Headers)
	m.inputs = f.String()
	return m, nil
}

func (m *Exchange) buildRequest() error {
	u, err := url.Parse(m.o.Endpoint.URL)
	if err != nil {
		return errors.New("the URL of the login call cannot be read")
	}
	query := u.Query()
	for name, value := range m.o.Endpoint.Params {
		query.Set(name, string(value.Reveal()))
		m.secrets = append(m.secrets, value)
	}
	if len(m.o.Endpoint.Params) > 0 {
		u.RawQuery = query.Encode()
	}
	m.url = u.String()
	switch {
	case m.o.JSON != nil && m.o.Form != nil:
		return errors.New("a login call has a JSON body or a form, not both")
	case m.o.JSON != nil:
		m.kind = "application/json"
		m.body, err = json.Marshal(m.reveal(m.o.JSON))
	case m.o.Form != nil:
		m.kind = "application/x-www-form-urlencoded"
		form := make(url.Values, len(m.o.Form))
		for name, value := range m.o.Form {
			form.Set(name, string(value.Reveal()))
			m.secrets = append(m.secrets, value)
		}
		m.body = []byte(form.Encode())
	}
	if err != nil {
		return errors.New("the body of the login call cannot be written as JSON")
	}
	return nil
}

// reveal copies a JSON tree with its secrets in place.
func (m *Exchange) reveal(node any) any {
	switch n := node.(type) {
	case secret.Value:
		m.secrets = append(m.secrets, n)
		return string(n.Reveal())
	case map[string]any:
		out := make(map[string]any, len(n))
		for name, inner := range n {
			out[name] = m.reveal(inner)
		}
		return out
	case []any:
		out := make([]any, len(n))
		for i, inner := range n {
			out[i] = m.reveal(inner)
		}
		return out
	}
	return node
}

func (m *Exchange) parsePointers() error {
	if m.o.Error == "" {
		m.o.Error = "/error"
	}
	texts, into := []string{m.o.Lifetime, m.o.ExpiresAt, m.o.Error}, []*pointer{&m.life, &m.expires, &m.codes}
	switch {
	case m.o.Token == "":
		return errors.New("a login call needs to know where its answer has the token")
	case !m.elsewhere():
		texts, into = append(texts, m.o.Token), append(into, &m.token)
	}
	for i, text := range texts {
		if text == "" {
			continue
		}
		p, err := parsePointer(text)
		if err != nil {
			return err
		}
		*into[i] = p
	}
	return nil
}

// elsewhere tells that the token is not inside the JSON body.
func (m *Exchange) elsewhere() bool {
	t := m.o.Token
	return t == FromBody || strings.HasPrefix(t, FromHeader) || strings.HasPrefix(t, FromCookie)
}

// Inputs is the fingerprint of the whole call.
func (m *Exchange) Inputs() string { return m.inputs }

// Mint makes the call.
func (m *Exchange) Mint(ctx context.Context, _ State) (State, error) {
	header := http.Header{"Accept": {"application/json"}}
	if m.kind != "" {
		header.Set("Content-Type", m.kind)
	}
	a, err := m.caller.do(ctx, &call{method: m.o.Method, url: m.url, header: header, body: m.body, secrets: m.secrets})
	if err != nil {
		return State{}, err
	}
	doc := a.document()
	token, err := m.find(a, doc)
	sentOn := a.status >= 300 && a.status <= 399 && m.o.Token != FromBody
	unread := a.readable()
	switch {
	case sentOn && err == nil:
		// Logins for browsers send their visitor on, and give the cookie with it. Nobody goes there, but the token is
		// here.
		return State{Token: token, Expiry: m.expiry(a, doc)}, nil
	case unread != nil:
		return State{}, unread
	case a.status < 200 || a.status > 299:
		return State{}, m.named(a.refusal(), a, doc)
	case err != nil:
		return State{}, m.named(a.broken("answered with "+err.Error()), a, doc)
	}
	return State{Token: token, Expiry: m.expiry(a, doc)}, nil
}

// named adds the provider's error code, where the response has one.
func (m *Exchange) named(err error, a *answer, doc json.RawMessage) error {
	var failed *EndpointError
	if code := a.asCode(m.codes.in(doc)); errors.As(err, &failed) && code != "" {
		failed.Code = code
	}
	return err
}

func (m *Exchange) find(a *answer, doc json.RawMessage) (secret.Value, error) {
	name, isHeader := strings.CutPrefix(m.o.Token, FromHeader)
	cookie, isCookie := strings.CutPrefix(m.o.Token, FromCookie)
	switch {
	case isHeader:
		return checkToken(a.header.Get(name))
	case isCookie:
		return checkToken(a.cookie(cookie))
	case m.o.Token == FromBody && bytes.HasPrefix(a.text(), []byte("<")):
		return secret.Value{}, errors.New("HTML")
	case m.o.Token == FromBody && !json.Valid(a.text()):
		return checkToken(string(a.text()))
	case string(doc) == "null":
		return secret.Value{}, errors.New("something that is not JSON")
	}
	return readToken(m.token.in(doc))
}

// cookie is the value of a cookie that the response sets, as a browser would keep it (RFC 6265 section 5.2): of several
// with the name the last, and none where that takes it away again. Quotes are part of a value.
func (a *answer) cookie(name string) string {
	value := ""
	for _, line := range a.header["Set-Cookie"] {
		pair, attributes, _ := strings.Cut(line, ";")
		key, v, found := strings.Cut(pair, "=")
		if !found || strings.TrimSpace(key) != name {
			continue
		}
		if value = strings.TrimSpace(v); a.endsCookie(attributes) {
			value = ""
		}
	}
	return value
}

// endsCookie tells whether attributes of a cookie say that it has ended. Max-Age counts before Expires.
func (a *answer) endsCookie(attributes string) bool {
	age, expires := "", ""
	for attribute := range strings.SplitSeq(attributes, ";") {
		key, v, _ := strings.Cut(strings.TrimSpace(attribute), "=")
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "max-age":
			age = strings.TrimSpace(v)
		case "expires":
			expires = strings.TrimSpace(v)
		}
	}
	if n, err := strconv.Atoi(age); err == nil {
		return n <= 0
	}
	at, err := http.ParseTime(strings.ReplaceAll(expires, "-", " ")) // Netscape's form has dashes
	return err == nil && at.Before(a.started.Add(a.skew))
}

func (m *Exchange) expiry(a *answer, doc json.RawMessage) time.Time {
	if raw := m.expires.in(doc); m.o.ExpiresAt != "" && raw != nil {
		return a.expiresAt(raw, m.o.Endpoint.Lifetime)
	}
	var n float64
	if m.o.Lifetime != "" {
		n = seconds(m.life.in(doc))
	}
	return a.started.Add(lifetime(n, m.o.Endpoint.Lifetime))
}
