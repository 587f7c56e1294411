package sign

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what some APIs sign with; HMAC-SHA1 is not broken by collisions
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/secret"
)

// HMACOptions say what is signed, with what, and where the signature goes.
type HMACOptions struct {
	Secret         secret.Value
	SecretEncoding string // how the key's bytes are written: "" as they are, hex, base64
	Algorithm      string // sha256 (default), sha1, sha384, sha512
	Encoding       string // of the signature: hex (default), base64, base64url (without padding)

	// Message is what is signed: text with {method} {scheme} {host} {path} {query} {target} {body} {body_sha256}
	// {timestamp} {timestamp_ms} {nonce} {header:X-Name}; braces of the text are doubled. The path is as on the wire,
	// target is the path with ?query, body_sha256 is in lower-case hexadecimal. A header that the request does not have
	// is empty.
	Message string

	Header string // where the signature goes; "": into the query parameter Param
	Param  string
	Format string // how it is written there: {signature} (default), {timestamp}, {timestamp_ms}, {nonce}

	Headers map[string]string // set beside it, before Message is read: {timestamp}, {timestamp_ms}, {nonce}

	Nonce func() string // nil: 16 random bytes in hexadecimal
}

// HMAC signs by a template, as the makers of webhooks and exchanges do each in their own way.
type HMAC struct {
	key     secret.Value
	hash    func() hash.Hash
	encode  func([]byte) string
	message template
	format  template
	header  string
	param   string // escaped
	headers []extra
	nonce   func() string
	secrets []secret.Value
}

type extra struct {
	name  string
	value template
}

// NewHMAC checks the options. The error says which of them cannot be, and never quotes the secret.
func NewHMAC(o HMACOptions) (*HMAC, error) {
	h := &HMAC{nonce: o.Nonce, param: url.QueryEscape(o.Param)}
	if h.nonce == nil {
		h.nonce = random
	}
	var err error
	if h.hash, err = hashNamed(o.Algorithm); err != nil {
		return nil, err
	}
	if h.encode, err = encodingNamed(o.Encoding); err != nil {
		return nil, err
	}
	if err := h.readKey(o); err != nil {
		return nil, err
	}
	if o.Message == "" {
		return nil, errors.New("there is no message to sign: {body} is what most want")
	}
	if h.message, err = parseTemplate(o.Message, inMessage); err != nil {
		return nil, fmt.Errorf("reading message: %w", err)
	}
	if err := h.readPlace(o); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *HMAC) readKey(o HMACOptions) error {
	written := string(o.Secret.Reveal())
	var key []byte
	var err error
	switch o.SecretEncoding {
	case "":
		key = []byte(written)
	case "hex":
		key, err = hex.DecodeString(written)
	case "base64":
		key, err = base64.StdEncoding.DecodeString(written)
	default:
		return fmt.Errorf("no encoding %q for the secret: want hex or base64, or leave it out", o.SecretEncoding)
	}
	if err != nil {
		return fmt.Errorf("the secret is not %s", o.SecretEncoding)
	}
	if len(key) == 0 {
		return errors.New("the secret is empty")
	}
	h.key, h.secrets = secret.NewValue(key), []secret.Value{o.Secret}
	if o.SecretEncoding != "" {
		h.secrets = append(h.secrets, h.key)
	}
	return nil
}

func (h *HMAC) readPlace(o HMACOptions) error {
	switch {
	case o.Header != "" && o.Param != "":
		return errors.New("the signature goes into a header or into a parameter, not into both")
	case o.Header == "" && o.Param == "":
		return errors.New("no header is named for the signature")
	case o.Header != "" && !isToken(o.Header):
		return fmt.Errorf("%q is no name of a header", o.Header)
	case o.Header != "":
		h.header = textproto.CanonicalMIMEHeaderKey(o.Header)
	}
	var err error
	if h.format, err = parseTemplate(first(o.Format, "{signature}"), inFormat); err == nil {
		err = h.format.checkField()
	}
	switch {
	case err != nil:
		return fmt.Errorf("reading format: %w", err)
	case !h.format.uses(varSignature):
		return errors.New("reading format: it has no {signature}")
	}
	for name, value := range o.Headers {
		t, err := parseTemplate(value, inHeader)
		if err == nil {
			err = t.checkField()
		}
		switch {
		case err != nil:
			return fmt.Errorf("reading header %q: %w", name, err)
		case !isToken(name), textproto.CanonicalMIMEHeaderKey(name) == h.header:
			return fmt.Errorf("reading header %q: that is no name of a header, or the one that the signature goes into",
				name)
		}
		h.headers = append(h.headers, extra{textproto.CanonicalMIMEHeaderKey(name), t})
	}
	slices.SortFunc(h.headers, func(a, b extra) int { return strings.Compare(a.name, b.name) })
	for _, p := range h.message {
		if p.name == varHeader && p.text == h.header {
			return fmt.Errorf("the message has the header %q, which the signature of the message goes into", h.header)
		}
	}
	return nil
}

func hashNamed(name string) (func() hash.Hash, error) {
	switch name {
	case "", "sha256":
		return sha256.New, nil
	case "sha1":
		return sha1.New, nil
	case "sha384":
		return sha512.New384, nil
	case "sha512":
		return sha512.New, nil
	case "md5":
		return nil, errors.New("md5 is not offered: no signature should hang on it")
	}
	return nil, fmt.Errorf("no algorithm %q: want sha256, sha512, sha384 or sha1", name)
}

func encodingNamed(name string) (func([]byte) string, error) {
	switch name {
	case "", "hex":
		return hex.EncodeToString, nil
	case "base64":
		return base64.StdEncoding.EncodeToString, nil
	case "base64url":
		return base64.RawURLEncoding.EncodeToString, nil
	}
	return nil, fmt.Errorf("no encoding %q: want hex, base64 or base64url", name)
}

// Secrets implements Signer.
func (h *HMAC) Secrets() [][]byte { return reveal(h.secrets) }

// Sign implements Signer.
func (h *HMAC) Sign(ctx context.Context, r *Request) error {
	nonce := ""
	if h.usesNonce() {
		nonce = h.nonce()
	}
	lookup := func(name string) string {
		switch name {
		case varTimestamp:
			return strconv.FormatInt(r.Now.Unix(), 10)
		case varTimestampMS:
			return strconv.FormatInt(r.Now.UnixMilli(), 10)
		default:
			return nonce
		}
	}
	set := make(map[string]string, len(h.headers)+1)
	for _, e := range h.headers {
		set[e.name] = e.value.expand(lookup)
	}
	mac := hmac.New(h.hash, h.key.Reveal())
	for _, p := range h.message {
		if err := writePart(ctx, mac, p, r, func(name string) string {
			if p.name == varHeader {
				return field1(r, set, name)
			}
			return lookup(name)
		}); err != nil {
			return err
		}
	}
	signature := h.encode(mac.Sum(nil))
	written := h.format.expand(func(name string) string {
		if name == varSignature {
			return signature
		}
		return lookup(name)
	})
	h.put(r, set, written)
	return nil
}

func (h *HMAC) usesNonce() bool {
	return h.message.uses(varNonce) || h.format.uses(varNonce) || slices.ContainsFunc(h.headers, func(e extra) bool {
		return e.value.uses(varNonce)
	})
}

func (h *HMAC) put(r *Request, set map[string]string, written string) {
	if h.header != "" {
		set[h.header] = written
	}
	for name, value := range set {
		r.Header[name] = []string{value}
	}
	if h.param == "" {
		return
	}
	if r.RawQuery != "" {
		r.RawQuery += "&"
	}
	r.RawQuery += h.param + "=" + url.QueryEscape(written)
}

// field1 is a header's value: the one that is about to be set, or the request's, several lines of it joined by commas.
func field1(r *Request, set map[string]string, name string) string {
	if value, ours := set[name]; ours {
		return value
	}
	return strings.Join(r.Header[name], ",")
}

// writePart writes a piece of the message; the body as it is read.
func writePart(ctx context.Context, w io.Writer, p part, r *Request, lookup func(string) string) error {
	var text string
	switch p.name {
	case "":
		text = p.text
	case varMethod:
		text = r.Method
	case varScheme:
		text = r.Scheme
	case varHost:
		text = r.Host
	case varPath:
		text = r.Path
	case varQuery:
		text = r.RawQuery
	case varTarget:
		text = target(r)
	case varHeader:
		text = lookup(p.text)
	case varBody:
		if r.Body == nil {
			return nil
		}
		return pour(ctx, r.Body, w)
	case varBodySHA256:
		digest, err := sum(ctx, r.Body, sha256.New())
		if err != nil {
			return err
		}
		text = hex.EncodeToString(digest)
	default:
		text = lookup(p.name)
	}
	_, err := io.WriteString(w, text)
	return err
}

// target is the path and the query as they stand in the request line.
func target(r *Request) string {
	if r.RawQuery == "" {
		return r.Path
	}
	return r.Path + "?" + r.RawQuery
}
