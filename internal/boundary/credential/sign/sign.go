// Package sign is the credentials that do not go onto a request but sign it: one file for each kind.
//
// A signer is built from plain options once, and then signs requests as they leave: it sees what goes on the wire,
// computes, and sets headers or parameters. It knows no configuration, keeps no request and makes no calls. Nobody
// waits for a body unless the kind covers it.
//
// Invariant: a request that Sign returns an error for is as it was before: nothing goes out half-signed.
package sign

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// Request is what a signer sees of a request, as it goes on the wire.
type Request struct {
	Method   string
	Scheme   string // http or https
	Host     string // with the port where the wire has one
	Path     string // escaped, with the service's base path
	RawQuery string
	Header   http.Header // by canonical names; its slices may be shared, so a signer puts in new ones
	Body     Body        // nil: none
	Now      time.Time
}

// Body is a request body that a signer may need all of.
type Body interface {
	// Whole returns the body and its size in bytes. An error is a fault where the caller is to blame: body_too_large,
	// or request_malformed for a body that ended short.
	Whole(ctx context.Context) (io.ReadSeeker, int64, error)
}

// Signer signs requests. It is safe for concurrent use.
type Signer interface {
	// Sign changes Header and RawQuery of r only: all of what it changes, or, with an error, nothing.
	Sign(ctx context.Context, r *Request) error
	// Secrets lists what must not come back in a response; the usual encodings of each are for the scrubber to know.
	Secrets() [][]byte
}

// sum returns the hash of the whole body; of nothing when there is none.
func sum(ctx context.Context, body Body, h hash.Hash) ([]byte, error) {
	if body != nil {
		if err := pour(ctx, body, h); err != nil {
			return nil, err
		}
	}
	return h.Sum(nil), nil
}

// pour copies the whole body into w.
func pour(ctx context.Context, body Body, w io.Writer) error {
	content, size, err := body.Whole(ctx)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, content)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// malformed is a request that cannot be signed as it is.
func malformed(why string) *fault.Fault { return fault.New(fault.RequestMalformed, why) }

// random is 16 random bytes in hexadecimal, for nonces.
func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// first is a, or b where a is empty.
func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// reveal lists the bytes of the secrets that there are.
func reveal(secrets []secret.Value) [][]byte {
	var all [][]byte
	for _, s := range secrets {
		if !s.IsZero() {
			all = append(all, s.Reveal())
		}
	}
	return all
}

const upperHex = "0123456789ABCDEF"

// appendEscaped appends s with everything percent-encoded but RFC 3986's unreserved characters and what keep names.
func appendEscaped(b []byte, s, keep string) []byte {
	for i := range len(s) {
		c := s[i]
		if unreserved(c) || keep != "" && c == keep[0] {
			b = append(b, c)
			continue
		}
		b = append(b, '%', upperHex[c>>4], upperHex[c&15])
	}
	return b
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' ||
		c == '.' || c == '~'
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// unescape decodes percent-encoding once, and plus to a space where the text is of a form.
func unescape(s string, form bool) (string, bool) {
	plain := true
	for i := range len(s) {
		plain = plain && s[i] != '%' && (!form || s[i] != '+')
	}
	if plain {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%':
			if i+2 >= len(s) {
				return "", false
			}
			high, ok1 := unhex(s[i+1])
			low, ok2 := unhex(s[i+2])
			if !ok1 || !ok2 {
				return "", false
			}
			b = append(b, high<<4|low)
			i += 2
		case form && s[i] == '+':
			b = append(b, ' ')
		default:
			b = append(b, s[i])
		}
	}
	return string(b), true
}
