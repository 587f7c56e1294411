package load_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/bench/load"
	"sallyport/bench/upstream"
)

func TestRunCountsWhatItSent(t *testing.T) {
	api := start(t)
	var reported, measuring atomic.Int64
	result, err := load.Run(t.Context(), load.Options{
		Address: api.Plain, Connections: 4, BodyBytes: upstream.DocumentBytes, Requests: 1000, Every: 250,
		Request:   "GET /v1/items HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + upstream.Key + "\r\n\r\n",
		Measuring: func() { measuring.Add(1) },
		Progress:  func(int64) { reported.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	// Each connection may have one more under way when the last one is counted.
	if result.Requests < 1000 || result.Requests > 1003 {
		t.Errorf("%d requests, want 1000 to 1003", result.Requests)
	}
	if result.P50 <= 0 || result.P99 < result.P50 || result.Elapsed <= 0 {
		t.Errorf("implausible figures: %+v", result)
	}
	if measuring.Load() != 1 || reported.Load() != 4 {
		t.Errorf("measuring was told %d times, progress %d times; want 1 and 4", measuring.Load(), reported.Load())
	}
}

func TestRunStopsAtAWrongAnswer(t *testing.T) {
	api := start(t)
	for name, c := range map[string]struct {
		request string
		want    string
	}{
		"without the key": {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "401 Unauthorized"},
		"another length":  {"GET /download/7 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + upstream.Key + "\r\n\r\n", "a body of 7 bytes, not 1024"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load.Run(t.Context(), load.Options{
				Address: api.Plain, Connections: 2, BodyBytes: upstream.DocumentBytes, Request: c.request,
				Duration: time.Hour,
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestUpstreamSpeaksHTTPOverTLSAndStreams(t *testing.T) {
	certificate, authority, err := upstream.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	api, err := upstream.Start(t.Context(), certificate)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = api.Close() }()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		method, path string
		send         int64
		want         int64
	}{
		{http.MethodGet, "/v1/items", 0, upstream.DocumentBytes},
		{http.MethodGet, "/download/300000", 0, 300000},
		{http.MethodPost, "/upload", 300000, upstream.DocumentBytes},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "https://"+api.TLS+c.path,
			io.LimitReader(zeros{}, c.send))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = c.send
		req.Header.Set("Authorization", "Bearer "+upstream.Key)
		answer, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, answer.Body)
		if err != nil || n != c.want || answer.StatusCode != http.StatusOK {
			t.Errorf("%s %s: %s with %d bytes, error %v; want %d", c.method, c.path, answer.Status, n, err, c.want)
		}
		_ = answer.Body.Close()
	}
}

func TestHistogram(t *testing.T) {
	var h, other load.Histogram
	for i := 1; i <= 50; i++ {
		h.Add(time.Duration(i) * time.Millisecond)
		other.Add(time.Duration(i+50) * time.Millisecond)
	}
	h.Merge(&other)
	if h.Total() != 100 {
		t.Errorf("total %d, want 100", h.Total())
	}
	for _, c := range []struct {
		p    float64
		want time.Duration
	}{
		{0.01, time.Millisecond},
		{0.5, 50 * time.Millisecond},
		{0.99, 99 * time.Millisecond},
		{1, 100 * time.Millisecond},
	} {
		got := h.Percentile(c.p)
		if got < c.want || got > c.want+c.want/50 {
			t.Errorf("percentile %v is %v, want %v to 2 %% more", c.p, got, c.want)
		}
	}
	var empty load.Histogram
	if got := empty.Percentile(0.5); got != 0 {
		t.Errorf("percentile of nothing is %v", got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func start(t *testing.T) *upstream.Server {
	t.Helper()
	certificate, _, err := upstream.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	api, err := upstream.Start(t.Context(), certificate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.Close(); err != nil {
			t.Error(err)
		}
	})
	return api
}
