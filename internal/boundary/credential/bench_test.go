package credential_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// kept is a Source in memory, as far as a request that needs nothing new sees it.
type kept struct{ token derive.Token }

func (k *kept) Current() (derive.Token, *fault.Fault) { return k.token, nil }

func (k *kept) Token(context.Context) (derive.Token, error) { return k.token, nil }

func (k *kept) Expired(context.Context, derive.Token) (derive.Token, error) { return k.token, nil }

// jwt is a token as long as those of large providers.
var jwt = base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("abcdefghijklmnopqrstuvwxyz0123456789", 34)))

// kinds are a Part of each kind; a derived kind is where its token goes.
func kinds(tb testing.TB) map[string]credential.Part {
	tb.Helper()
	must := func(s sign.Signer, err error) sign.Signer {
		if err != nil {
			tb.Fatal(err)
		}
		return s
	}
	value := secret.NewValue([]byte("sk-live-51H8xAbCdEf0123456789"))
	hmac, err1 := sign.NewHMAC(sign.HMACOptions{
		Secret: value, Header: "X-Signature", Message: "{timestamp}.{body}",
		Headers: map[string]string{"X-Time": "{timestamp}"},
	})
	v4, err2 := sign.NewSigV4(sign.SigV4Options{
		AccessKey: "AKIDEXAMPLE", SecretKey: value,
		Region: "eu-west-1", Service: "sqs",
	})
	oauth1, err3 := sign.NewOAuth1(sign.OAuth1Options{
		ConsumerKey: "key", ConsumerSecret: value, Token: value,
		TokenSecret: value,
	})
	unasked, err4 := sign.NewDigest(sign.DigestOptions{Username: "me", Secret: value})
	var digest sign.Signer
	if err4 == nil {
		digest, _ = unasked.Challenge(http.Header{
			"Www-Authenticate": {`Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256`},
		})
	}
	return map[string]credential.Part{
		"bearer": {Spec: credential.Spec{Kind: "bearer"}, Value: value}, "header": {Spec: credential.Spec{Kind: "header", Header: "X-Key"}, Value: value},
		"basic": {Spec: credential.Spec{Kind: "basic", Username: "me"}, Value: value}, "query": {Spec: credential.Spec{Kind: "query", Param: "key"}, Value: value},
		"cookie": {Spec: credential.Spec{Kind: "cookie", Cookie: "sid"}, Value: value}, "path": {Spec: credential.Spec{Kind: "path", Format: "/bot{secret}"}, Value: value},
		"body":    {Spec: credential.Spec{Kind: "body", Pointer: "/key", As: "json"}, Value: value},
		"derived": {Spec: credential.Spec{Kind: "bearer"}, Source: &kept{derive.Token{Secret: secret.NewValue([]byte(jwt)), Expiry: time.Now().Add(time.Hour), Serial: 1}}},
		"hmac":    {Spec: credential.Spec{Kind: "hmac", Header: "X-Signature"}, Signer: must(hmac, err1)}, "aws_sigv4": {Spec: credential.Spec{Kind: "aws_sigv4"}, Signer: must(v4, err2)},
		"oauth1": {Spec: credential.Spec{Kind: "oauth1"}, Signer: must(oauth1, err3)}, "digest": {Spec: credential.Spec{Kind: "digest"}, Signer: must(digest, err4)},
	}
}

func use(ctx context.Context, h *credential.Holder, header http.Header) *fault.Fault {
	m, f := h.Current(ctx)
	if f != nil {
		return f
	}
	return m.Inject(ctx, &credential.Outgoing{
		Method: "POST", Scheme: "https", Host: "api.example.com", Path: "/v1/things", RawQuery: "a=1", Header: header,
		Body: credential.Bytes(`{"a":1}`),
		Now:  time.Unix(1_700_000_000, 0),
	})
}

// BenchmarkFirstUse is what a new secret or token costs once: its forms are compiled for the scrubber. Minting is
// measured in package derive.
func BenchmarkFirstUse(b *testing.B) {
	for name, part := range kinds(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var h credential.Holder
				r, err := credential.NewAssembly([]credential.Part{part})
				if err != nil {
					b.Fatal(err)
				}
				h.Set(r)
				if f := use(b.Context(), &h, make(http.Header)); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
}

// BenchmarkCachedUse is what every request after the first pays.
func BenchmarkCachedUse(b *testing.B) {
	for name, part := range kinds(b) {
		b.Run(name, func(b *testing.B) {
			var h credential.Holder
			r, err := credential.NewAssembly([]credential.Part{part})
			if err != nil {
				b.Fatal(err)
			}
			h.Set(r)
			header := make(http.Header)
			b.ReportAllocs()
			for b.Loop() {
				clear(header)
				if f := use(b.Context(), &h, header); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
}

// TestCachedUseAllocatesNothing holds what the plain path is fast by.
func TestCachedUseAllocatesNothing(t *testing.T) {
	for _, name := range []string{"bearer", "header", "basic", "derived"} {
		var h credential.Holder
		r, err := credential.NewAssembly([]credential.Part{kinds(t)[name]})
		if err != nil {
			t.Fatal(err)
		}
		h.Set(r)
		o := credential.Outgoing{Header: make(http.Header)}
		if n := testing.AllocsPerRun(100, func() {
			m, f := h.Current(t.Context())
			if f == nil {
				f = m.Inject(t.Context(), &o)
			}
			if f != nil {
				t.Error(f)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
