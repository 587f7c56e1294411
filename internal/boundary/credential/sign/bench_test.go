package sign_test

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/boundary/credential/sign"
)

func sha(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func bench(b *testing.B, s sign.Signer, body sign.Body) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		r := &sign.Request{
			Method: "POST", Scheme: "https", Host: "sqs.eu-west-1.amazonaws.com", Path: "/v1/objects/a%20b",
			RawQuery: "b=2&a=1&c=x%20y", Body: body, Now: suiteTime,
			Header: http.Header{
				"Accept": {"application/json"}, "Content-Type": {"application/json"},
				"X-Request-Id": {"0123"}, "User-Agent": {"n8n"},
			},
		}
		if err := s.Sign(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSigV4(b *testing.B) {
	b.Run("no body", func(b *testing.B) { bench(b, sigv4(b, sign.SigV4Options{}), nil) })
	b.Run("1 KiB", func(b *testing.B) { bench(b, sigv4(b, sign.SigV4Options{}), whole(strings.Repeat("x", 1<<10))) })
}
