package sign

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 5849 section 3.4.2 knows no other; HMAC-SHA1 is not broken by collisions
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"strconv"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// The methods of OAuth1Options. RSA-SHA1 is not offered.
const (
	OAuth1HMACSHA1   = "HMAC-SHA1"
	OAuth1HMACSHA256 = "HMAC-SHA256"
	OAuth1PlainText  = "PLAINTEXT" // the secrets themselves, over https only
)

// maxForm is the largest form, in bytes, whose fields are signed.
const maxForm = 4 << 20

// OAuth1Options are a consumer's and a user's credentials.
type OAuth1Options struct {
	ConsumerKey     string
	HideConsumerKey bool // it comes from a store and must not come back either
	ConsumerSecret  secret.Value
	Token           secret.Value // zero, as TokenSecret: none, as in the first step of an authorisation
	TokenSecret     secret.Value
	Method          string // "": OAuth1HMACSHA1
	Realm           string // "": none

	Nonce func() string // nil: 16 random bytes in hexadecimal
}

// OAuth1 is OAuth 1.0a (RFC 5849) in the Authorization header. The fields of a form body are part of what is signed, so
// a body of that type is read whole, up to 4 MiB; others stream.
type OAuth1 struct{ o OAuth1Options }

// NewOAuth1 checks the options.
func NewOAuth1(o OAuth1Options) (*OAuth1, error) {
	o.Method = first(o.Method, OAuth1HMACSHA1)
	if o.Nonce == nil {
		o.Nonce = random
	}
	switch {
	case o.ConsumerKey == "":
		return nil, errors.New("there is no consumer key")
	case o.ConsumerSecret.IsZero() && o.TokenSecret.IsZero():
		return nil, errors.New("there is neither a consumer secret nor a token secret")
	case strings.ContainsFunc(o.Realm, func(r rune) bool { return r < ' ' || r >= 0x7f }):
		return nil, errors.New("the realm has a character that cannot stand in a header")
	}
	switch o.Method {
	case OAuth1HMACSHA1, OAuth1HMACSHA256, OAuth1PlainText:
		return &OAuth1{o}, nil
	}
	return nil, fmt.Errorf("no signature method %q: want %s, %s or %s", o.Method, OAuth1HMACSHA1,
		OAuth1HMACSHA256, OAuth1PlainText)
}

// Secrets implements Signer. PLAINTEXT encodes the secrets twice, so they are also listed as they are encoded once.
func (s *OAuth1) Secrets() [][]byte {
	secrets := []secret.Value{s.o.ConsumerSecret, s.o.Token, s.o.TokenSecret}
	all := reveal(secrets)
	if s.o.Method == OAuth1PlainText {
		for _, one := range reveal(secrets) {
			if once := appendEscaped(nil, string(one), ""); !bytes.Equal(once, one) {
				all = append(all, once)
			}
		}
	}
	if s.o.HideConsumerKey {
		all = append(all, []byte(s.o.ConsumerKey))
	}
	return all
}

// Sign implements Signer.
func (s *OAuth1) Sign(ctx context.Context, r *Request) error {
	if s.o.Method == OAuth1PlainText && r.Scheme != "https" {
		return fault.WithHint(
			errors.New("signing with PLAINTEXT: the service is not on https, and the secrets would go in the clear"),
			"use HMAC-SHA1 or HMAC-SHA256")
	}
	protocol := params{
		{"oauth_consumer_key", escaped(s.o.ConsumerKey)},
		{"oauth_signature_method", s.o.Method},
		{"oauth_version", "1.0"},
	}
	if !s.o.Token.IsZero() {
		protocol = append(protocol, param{"oauth_token", escaped(string(s.o.Token.Reveal()))})
	}
	if s.o.Method != OAuth1PlainText { // section 3.1: it may go without
		protocol = append(protocol, param{"oauth_nonce", escaped(s.o.Nonce())},
			param{"oauth_timestamp", strconv.FormatInt(r.Now.Unix(), 10)})
	}
	given, err := given(ctx, r)
	if err != nil {
		return err
	}
	signature := s.signature(r, append(given, protocol...))
	protocol = append(protocol, param{"oauth_signature", escaped(signature)})
	protocol.sort()
	r.Header["Authorization"] = []string{s.header(protocol)}
	return nil
}

func escaped(s string) string { return string(appendEscaped(nil, s, "")) }

// given are the request's own parameters: of the query, and of a body that is a form (section 3.4.1.3.1).
func given(ctx context.Context, r *Request) (params, error) {
	all, ok := params(nil).add(r.RawQuery)
	if !ok {
		return nil, malformed("the query has a broken percent-encoding")
	}
	form, err := form(ctx, r)
	if err != nil {
		return nil, err
	}
	if all, ok = all.add(form); !ok {
		return nil, malformed("the form in the body has a broken percent-encoding")
	}
	for _, p := range all {
		switch p.name {
		case "oauth_consumer_key", "oauth_token", "oauth_signature_method", "oauth_signature", "oauth_timestamp",
			"oauth_nonce", "oauth_version":
			return nil, malformed("the request has a parameter " + p.name + " of its own beside the one that is signed")
		}
	}
	return all, nil
}

// form is the body where it is a form, and "" otherwise.
func form(ctx context.Context, r *Request) (string, error) {
	types := r.Header["Content-Type"]
	if r.Body == nil || len(types) != 1 {
		return "", nil
	}
	if kind, _, err := mime.ParseMediaType(types[0]); err != nil || kind != "application/x-www-form-urlencoded" {
		return "", nil //nolint:nilerr // what cannot be read as a type is not the type
	}
	content, size, err := r.Body.Whole(ctx)
	switch {
	case err != nil:
		return "", err
	case size > maxForm:
		return "", fault.New(fault.BodyTooLarge,
			"the form in the body is larger than 4 MiB, and OAuth 1.0 signs its fields")
	}
	b := make([]byte, size)
	_, err = io.ReadFull(content, b)
	return string(b), err
}

// signature is section 3.4.2 to 3.4.4.
func (s *OAuth1) signature(r *Request, all params) string {
	key := appendEscaped(nil, string(s.o.ConsumerSecret.Reveal()), "")
	key = append(key, '&')
	key = appendEscaped(key, string(s.o.TokenSecret.Reveal()), "")
	var h func() hash.Hash
	switch s.o.Method {
	case OAuth1PlainText:
		return string(key)
	case OAuth1HMACSHA256:
		h = sha256.New
	default:
		h = sha1.New
	}
	mac := hmac.New(h, key)
	_, _ = mac.Write(baseString(r, all))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// baseString is section 3.4.1.1.
func baseString(r *Request, all params) []byte {
	all.sort()
	b := make([]byte, 0, 512)
	b = appendEscaped(b, strings.ToUpper(r.Method), "")
	b = append(b, '&')
	b = appendEscaped(b, baseURI(r), "")
	b = append(b, '&')
	return appendEscaped(b, string(all.append(nil)), "")
}

// baseURI is section 3.4.1.2.
func baseURI(r *Request) string {
	scheme, host := strings.ToLower(r.Scheme), strings.ToLower(r.Host)
	switch scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return scheme + "://" + host + first(r.Path, "/")
}

// header is section 3.5.1.
func (s *OAuth1) header(protocol params) string {
	b := []byte("OAuth ")
	if s.o.Realm != "" {
		b = appendQuoted(append(b, "realm="...), s.o.Realm)
		b = append(b, ", "...)
	}
	for i, p := range protocol {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, p.name...)
		b = append(b, '=', '"')
		b = append(b, p.value...)
		b = append(b, '"')
	}
	return string(b)
}

// appendQuoted appends a quoted-string (RFC 9110 section 5.6.4).
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
