package sign_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/fault"
)

func newHMAC(t testing.TB, o sign.HMACOptions) *sign.HMAC {
	t.Helper()
	if o.Secret.IsZero() {
		o.Secret = value("It's a Secret to Everybody")
	}
	if o.Nonce == nil {
		o.Nonce = func() string { return "n0nce" }
	}
	s, err := sign.NewHMAC(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mac(h func() hash.Hash, key, message string) []byte {
	m := hmac.New(h, []byte(key))
	_, _ = io.WriteString(m, message)
	return m.Sum(nil)
}

func post(body string) *sign.Request {
	r := &sign.Request{
		Method: "POST", Scheme: "https", Host: "api.example.com:8443", Path: "/v1/a%20b", RawQuery: "x=1&y=%20",
		Header: http.Header{"Content-Type": {"application/json"}, "X-Twice": {"a", "b"}},
		Now:    time.UnixMilli(1700000000123),
	}
	if body != "" {
		r.Body = whole(body)
	}
	return r
}

func TestHMAC(t *testing.T) {
	key := "It's a Secret to Everybody"
	hello := "Hello, World!"
	hexed := sha(hello)
	for name, c := range map[string]struct {
		o     sign.HMACOptions
		body  string
		want  http.Header // what is set
		query string      // what is appended
	}{
		"GitHub, its own example": {
			sign.HMACOptions{Message: "{body}", Header: "x-hub-signature-256", Format: "sha256={signature}"},
			hello,
			http.Header{
				"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
			},
			"",
		},
		"Stripe": {
			sign.HMACOptions{
				Message: "{timestamp}.{body}", Header: "Stripe-Signature",
				Format: "t={timestamp},v1={signature}",
			},
			`{"a":1}`,
			http.Header{
				"Stripe-Signature": {"t=1700000000,v1=" + hex.EncodeToString(mac(sha256.New, key, `1700000000.{"a":1}`))},
			},
			"",
		},
		"Shopify": {
			sign.HMACOptions{Message: "{body}", Header: "X-Shopify-Hmac-Sha256", Encoding: "base64"},
			"x",
			http.Header{"X-Shopify-Hmac-Sha256": {base64.StdEncoding.EncodeToString(mac(sha256.New, key, "x"))}},
			"",
		},
		"Standard Webhooks": {
			sign.HMACOptions{
				Secret: value(base64.StdEncoding.EncodeToString([]byte("\x00\xffkey"))), SecretEncoding: "base64",
				Message: "{header:webhook-id}.{timestamp}.{body}", Encoding: "base64",
				Header: "webhook-signature", Format: "v1,{signature}",
				Headers: map[string]string{"webhook-id": "msg_{nonce}", "webhook-timestamp": "{timestamp}"},
			},
			"x",
			http.Header{
				"Webhook-Id": {"msg_n0nce"}, "Webhook-Timestamp": {"1700000000"},
				"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, "\x00\xffkey", "msg_n0nce.1700000000.x"))},
			},
			"",
		},
		"everything": {
			sign.HMACOptions{
				Algorithm: "sha512", Encoding: "base64url", Header: "S",
				Message: "{method}\n{scheme} {host} {path} {query} " +
					"{target}\n{{{nonce}}}{timestamp_ms}{header:x-twice}{header:None}|{body_sha256}|{body}{body}",
			},
			hello,
			http.Header{"S": {base64.RawURLEncoding.EncodeToString(mac(sha512.New, key,
				"POST\nhttps api.example.com:8443 /v1/a%20b x=1&y=%20 /v1/a%20b?x=1&y=%20\n{n0nce}1700000000123a,b|"+hex.EncodeToString(hexed[:])+"|"+hello+hello))}},
			"",
		},
		"no body": {
			sign.HMACOptions{Algorithm: "sha1", Message: "{method}{body}{body_sha256}", Header: "S"},
			"",
			http.Header{
				"S": {hex.EncodeToString(mac(sha1.New, key, "POSTe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))},
			},
			"",
		},
		"a parameter": {
			sign.HMACOptions{Message: "{query}", Param: "sig[]", Encoding: "base64"},
			"",
			http.Header{},
			"&sig%5B%5D=" + strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(base64.StdEncoding.EncodeToString(mac(sha256.New, key, "x=1&y=%20"))),
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := post(c.body)
			want := post("")
			maps.Copy(want.Header, c.want)
			if err := newHMAC(t, c.o).Sign(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Header, r.Header); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := want.RawQuery + c.query; r.RawQuery != got {
				t.Errorf("got query %q, want %q", r.RawQuery, got)
			}
		})
	}
}

// TestHMACAllOrNothing: a body that arrives truncated leaves the request as it was; where the message has no body,
// nobody reads it.
func TestHMACAllOrNothing(t *testing.T) {
	truncated := fault.New(fault.RequestMalformed, "ended short")
	for _, message := range []string{"{body}", "{body_sha256}", "{timestamp}{body}"} {
		r := post("")
		r.Body = failing{truncated}
		before := describe(r)
		err := newHMAC(t,
			sign.HMACOptions{
				Message: message, Header: "S",
				Headers: map[string]string{"T": "{timestamp}"},
			}).Sign(t.Context(), r)
		if !errors.Is(err, truncated) || describe(r) != before {
			t.Errorf("%s: got %v, %s", message, err, describe(r))
		}
	}
	r := post("")
	r.Body = failing{truncated}
	if err := newHMAC(t, sign.HMACOptions{Message: "{path}", Header: "S"}).Sign(t.Context(), r); err != nil ||
		r.Header.Get("S") == "" {
		t.Errorf("got %v", err)
	}
}

func TestHMACRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		o    sign.HMACOptions
		want string
	}{
		"misspelt":          {sign.HMACOptions{Message: "{time_stamp}{body}", Header: "S"}, "at byte 1: there is no placeholder {time_stamp}: did you mean {timestamp}?"},
		"misspelt more":     {sign.HMACOptions{Message: "x{bdy}", Header: "S"}, "at byte 2: there is no placeholder {bdy}: did you mean {body}?"},
		"nothing near":      {sign.HMACOptions{Message: "{elephant}", Header: "S"}, "{header:X-Name}"},
		"no header's name":  {sign.HMACOptions{Message: "{header:}", Header: "S"}, "{header:X-Name}"},
		"header's name":     {sign.HMACOptions{Message: "{header:a b}", Header: "S"}, "names no header"},
		"header without":    {sign.HMACOptions{Message: "{header}", Header: "S"}, "did you mean {header:X-Name}?"},
		"open":              {sign.HMACOptions{Message: "{body", Header: "S"}, "the { at byte 1 has no }"},
		"closed":            {sign.HMACOptions{Message: "body}", Header: "S"}, "a } without its { at byte 5"},
		"no message":        {sign.HMACOptions{Header: "S"}, "no message"},
		"no place":          {sign.HMACOptions{Message: "{body}"}, "no header"},
		"two places":        {sign.HMACOptions{Message: "{body}", Header: "S", Param: "s"}, "not into both"},
		"no signature":      {sign.HMACOptions{Message: "{body}", Header: "S", Format: "v1"}, "no {signature}"},
		"body in format":    {sign.HMACOptions{Message: "{body}", Header: "S", Format: "{body}{signature}"}, "no placeholder {body}"},
		"line break":        {sign.HMACOptions{Message: "{body}", Header: "S", Format: "a\r\n{signature}"}, "cannot stand in a header"},
		"bad header":        {sign.HMACOptions{Message: "{body}", Header: "S:"}, "no name of a header"},
		"md5":               {sign.HMACOptions{Message: "{body}", Header: "S", Algorithm: "md5"}, "md5 is not offered"},
		"algorithm":         {sign.HMACOptions{Message: "{body}", Header: "S", Algorithm: "crc"}, "no algorithm"},
		"encoding":          {sign.HMACOptions{Message: "{body}", Header: "S", Encoding: "rot13"}, "no encoding"},
		"secret's encoding": {sign.HMACOptions{Message: "{body}", Header: "S", SecretEncoding: "rot13"}, "no encoding"},
		"secret not hex":    {sign.HMACOptions{Message: "{body}", Header: "S", SecretEncoding: "hex"}, "the secret is not hex"},
		"other header":      {sign.HMACOptions{Message: "{body}", Header: "S", Headers: map[string]string{"T": "{signature}"}}, `reading header "T"`},
		"same header":       {sign.HMACOptions{Message: "{body}", Header: "S", Headers: map[string]string{"s": "x"}}, `reading header "s"`},
		"signs itself":      {sign.HMACOptions{Message: "{header:s}", Header: "S"}, `the message has the header "S"`},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Secret = value("canary-secret")
			_, err := sign.NewHMAC(c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error quotes the secret: %v", err)
			}
		})
	}
	if _, err := sign.NewHMAC(sign.HMACOptions{Message: "{body}", Header: "S"}); err == nil {
		t.Error("no secret: no error")
	}
}

func TestHMACSecretsAndNonce(t *testing.T) {
	s := newHMAC(t, sign.HMACOptions{Secret: value("6b6579"), SecretEncoding: "hex", Message: "{body}", Header: "S"})
	if got := fmt.Sprintf("%s", s.Secrets()); got != "[6b6579 key]" {
		t.Errorf("got %s", got)
	}
	random, err := sign.NewHMAC(sign.HMACOptions{
		Secret: value("key"), Message: "{nonce}", Header: "S",
		Headers: map[string]string{"N": "{nonce}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, b := post(""), post("")
	_, _ = random.Sign(t.Context(), a), random.Sign(t.Context(), b)
	if a.Header.Get("N") == b.Header.Get("N") || len(a.Header.Get("N")) != 32 ||
		a.Header.Get("S") == b.Header.Get("S") {
		t.Errorf("got %v and %v", a.Header, b.Header)
	}
}

// naive expands a message as the documentation of it reads, or says that it cannot be read.
func naive(message string, r *sign.Request, body string) (string, bool) {
	shaOf := sha(body)
	values := map[string]string{
		"method": r.Method, "scheme": r.Scheme, "host": r.Host, "path": r.Path, "query": r.RawQuery, "target": r.Path + "?" + r.RawQuery, "body": body,
		"body_sha256": hex.EncodeToString(shaOf[:]), "timestamp": "1700000000", "timestamp_ms": "1700000000123", "nonce": "n0nce",
	}
	out := ""
	for message != "" {
		switch {
		case strings.HasPrefix(message, "{{"), strings.HasPrefix(message, "}}"):
			out, message = out+message[:1], message[2:]
		case message[0] == '}':
			return "", false
		case message[0] == '{':
			name, rest, closed := strings.Cut(message[1:], "}")
			v, known := values[name]
			if h, isHeader := strings.CutPrefix(name, "header:"); isHeader {
				known = h != "" &&
					strings.Trim(h,
						"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" &&
					!strings.EqualFold(h, "signature")
				v = strings.Join(r.Header.Values(h), ",")
			}
			if !closed || !known {
				return "", false
			}
			out, message = out+v, rest
		default:
			out, message = out+message[:1], message[1:]
		}
	}
	return out, true
}

func FuzzHMACMessage(f *testing.F) {
	for _, s := range []string{
		"{body}", "{timestamp}.{body}", "{{{nonce}}}", "{", "}", "{}", "{header:X-Twice}",
		"{header:}", "{{}", "{body}}", "{BODY}", "{header:content-type}\n{target}", "{header:Signature}",
	} {
		f.Add(s, "the body")
	}
	f.Fuzz(func(t *testing.T, message, body string) {
		r := post(body)
		want, ok := naive(message, r, body)
		s, err := sign.NewHMAC(sign.HMACOptions{
			Secret: value("key"), Message: message, Header: "Signature",
			Nonce: func() string {
				return "n0nce"
			},
		})
		if message == "" {
			ok = false
		}
		if (err == nil) != ok {
			t.Fatalf("%q: got %v, want it read: %v", message, err, ok)
		}
		if err != nil {
			return
		}
		if err := s.Sign(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if got := r.Header.Get("Signature"); got != hex.EncodeToString(mac(sha256.New, "key", want)) {
			t.Errorf("%q: not the signature of %q", message, want)
		}
	})
}

func BenchmarkHMAC(b *testing.B) {
	b.Run("Stripe, 1 KiB", func(b *testing.B) {
		bench(b,
			newHMAC(b, sign.HMACOptions{
				Message: "{timestamp}.{body}", Header: "Stripe-Signature",
				Format: "t={timestamp},v1={signature}",
			}), whole(strings.Repeat("x", 1<<10)))
	})
	b.Run("no body", func(b *testing.B) {
		bench(b,
			newHMAC(b, sign.HMACOptions{
				Message: "{timestamp}{method}{target}", Header: "S",
				Headers: map[string]string{"X-Timestamp": "{timestamp}"},
			}), nil)
	})
}
