package sink

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sallyport/internal/secret"
)

// Auth is a token in a header.
type Auth struct {
	Token  secret.Ref // the zero Ref: there is none
	Header string
	Prefix string // what stands before it; "": Bearer in the header Authorization, nothing in another
}

// Check checks the keys header and prefix of settings.
func (a *Auth) Check(r secret.Report) {
	if a.Header == "" || strings.ContainsFunc(a.Header, notInName) {
		r.Fail("header", "is not the name of a header", "write it as Authorization or X-Api-Key")
	}
	if strings.ContainsFunc(a.Prefix, func(c rune) bool { return c < ' ' || c > '~' }) {
		r.Fail("prefix", "has a character in it that a header cannot have", "write one word, such as ApiKey")
	}
}

func notInName(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_", c)
}

// Secrets lists the token.
func (a *Auth) Secrets() []secret.Ref {
	if a.Token.IsZero() {
		return nil
	}
	return []secret.Ref{a.Token}
}

// Set puts the token onto a request.
func (a *Auth) Set(ctx context.Context, req *http.Request, on Host) error {
	if a.Token.IsZero() {
		return nil
	}
	token, err := on.Secret(ctx, a.Token)
	if err != nil {
		return fmt.Errorf("reading the token %s: %w", a.Token, err)
	}
	prefix := a.Prefix
	if prefix == "" && http.CanonicalHeaderKey(a.Header) == "Authorization" {
		prefix = "Bearer"
	}
	if prefix != "" {
		prefix += " "
	}
	value := bytes.TrimSpace(token.Reveal())
	if bytes.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return fmt.Errorf("reading the token %s: it has a character in it that a header cannot have", a.Token)
	}
	req.Header.Set(a.Header, prefix+string(value))
	return nil
}

// Post makes a request with a body, which is compressed if packed.
//
//nolint:revive // what a request is made of
func Post(ctx context.Context, to, contentType string, body []byte, packed bool, on Host) (*http.Request, error) {
	if packed {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write(body)
		if err = errors.Join(err, w.Close()); err != nil {
			return nil, fmt.Errorf("compressing a batch: %w", err)
		}
		body = b.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("posting: the address is malformed")
	}
	req.Header.Set("User-Agent", "Sallyport/"+on.Version)
	req.Header.Set("Content-Type", contentType)
	if packed {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return req, nil
}
