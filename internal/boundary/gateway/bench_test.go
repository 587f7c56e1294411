package gateway_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/boundary"
	"sallyport/internal/boundary/gateway"
)

// answering is a caller's side that takes an answer and keeps nothing.
type answering struct{ header http.Header }

func (a *answering) Header() http.Header         { return a.header }
func (a *answering) Write(b []byte) (int, error) { return len(b), nil }
func (a *answering) WriteHeader(int)             {}

// passing is an API without a network: what is measured is the pipeline alone.
type passing struct{}

func (p passing) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	header := http.Header{"Content-Type": {"application/json"}, "Content-Length": {"12"}}
	return &http.Response{
		StatusCode: http.StatusOK, Header: header, ContentLength: 12,
		Body: io.NopCloser(io.LimitReader(noughts{}, 12)), Request: r,
	}, nil
}

type noughts struct{}

func (noughts) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}

// wayIn hides from the compiler what the way in does not know either.
//
//go:noinline
func wayIn(g *gate) gateway.Pipeline { return g.pipeline }

func benchPipeline(b *testing.B, g *gate, method, body string, names ...string) {
	b.Helper()
	g.service("api").Transport = passing{}
	pipeline := wayIn(g)
	head, body, _ := strings.Cut(body, "\r\n\r\n")
	lines := []string{"Accept: application/json", "User-Agent: n8n"}
	if body != "" {
		lines = append(lines, head)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request(method, "/s/api/v1/things?a=1", lines...))))
	if err != nil {
		b.Fatal(err)
	}
	r = r.WithContext(b.Context())
	content := strings.NewReader(body)
	r.Body = io.NopCloser(content)
	w := &answering{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		content.Reset(body)
		v := &boundary.View{
			Method: r.Method, Service: "api", Path: "/v1/things", RawQuery: "a=1",
			Header: boundary.NetHTTP(r.Header), Mount: "/s/api", Names: strings.Join(names, ""),
		}
		pipeline.Handle(w, r, v)
		<-g.outcomes
	}
}

// BenchmarkPipeline is a request without its sockets: with a static credential, a derived one, and one that signs the
// body.
func BenchmarkPipeline(b *testing.B) {
	b.Run("bearer", func(b *testing.B) { benchPipeline(b, newGate(b, api("https://127.0.0.1"), options{}), "GET", "") })
	b.Run("bearer, names in small letters", func(b *testing.B) {
		benchPipeline(b, newGate(b, api("https://127.0.0.1"), options{}), "GET", "",
			"host:connection:accept:user-agent:")
	})
	b.Run("derived", func(b *testing.B) {
		benchPipeline(b, derivedGate(b, &mint{}, lark("https://127.0.0.1"), options{}), "GET", "")
	})
	body := "Content-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024)
	b.Run("bearer, POST 1 KiB", func(b *testing.B) {
		benchPipeline(b, newGate(b, api("https://127.0.0.1"), options{}), "POST", body)
	})
	b.Run("derived, POST 1 KiB", func(b *testing.B) {
		benchPipeline(b, derivedGate(b, &mint{}, lark("https://127.0.0.1"), options{}), "POST", body)
	})
	b.Run("hmac, POST 1 KiB", func(b *testing.B) {
		benchPipeline(b, newGate(b, api("https://127.0.0.1", hmacLine), signing(hmacSigner(b))), "POST", body)
	})
}
