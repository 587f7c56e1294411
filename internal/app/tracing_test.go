package app_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"sallyport/internal/audit"
)

// collector keeps the text of all spans that it is sent.
type collector struct {
	*httptest.Server

	mu   sync.Mutex
	text strings.Builder
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var req collectorpb.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, of := range req.GetResourceSpans() {
			for _, in := range of.GetScopeSpans() {
				for _, s := range in.GetSpans() {
					fmt.Fprintf(&c.text, "%s trace=%x %v\n", s.GetName(), s.GetTraceId(), s)
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

const callersTrace = "0af7651916cd43dd8448eb211c80319c"

// traced sends a request that belongs to a trace.
func (b *bed) traced(url, token string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-Sallyport-Token", token)
	req.Header.Set("Traceparent", "00-"+callersTrace+"-b7ad6b7169203331-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp.StatusCode, string(body), resp.Header}
}

// TestTraceOfARequest: one id is in the response, the record, the log and the trace; the trace goes on from n8n to the
// API; no secret is in it; and the histograms have it as an exemplar.
func TestTraceOfARequest(t *testing.T) {
	api := newMirror(t)
	spans := newCollector(t)
	b := newBed(t, func(string) string {
		return one("")(api.URL) + "tracing: {endpoint: " + spans.URL + "/v1/traces}\n"
	})
	gate := b.serve()
	got := b.traced(gate.GatewayURL()+"/s/crm/v1/x?key=in-the-query", b.token)
	got.is(t, 200, "")
	id := got.header.Get("X-Sallyport-Request-Id")
	if at := api.last(); !regexp.MustCompile(`(?m)^Traceparent: 00-`+callersTrace+`-[0-9a-f]{16}-01\r?$`).MatchString(at) ||
		strings.Contains(at, "b7ad6b7169203331") {
		t.Errorf("the API got\n%s", at)
	}
	b.traced(gate.GatewayURL()+"/s/crm/", "spt_wrong").is(t, 407, "")
	b.until("the trace is exported", func() bool { return strings.Contains(spans.said(), "GET /s/crm/*") })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, gate.AdminURL()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gate", "upstream"} {
		exemplar := regexp.MustCompile(`(?m)^sallyport_` + name + `_duration_seconds_bucket\{.*\} \d+ # \{trace_id="` +
			callersTrace + `"\}`)
		if !exemplar.Match(page) {
			t.Errorf("the histogram %s has no exemplar", name)
		}
	}
	traced := 0
	for _, line := range b.records() {
		rec, err := audit.Parse([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if rec.Event.Trace == callersTrace && rec.Event.ID == id {
			traced++
		}
		if rec.Event.Kind == audit.KindRefused && rec.Event.Trace != "" {
			t.Errorf("a request without a valid token has a trace: %s", line)
		}
	}
	if traced != 2 {
		t.Errorf("%d records have the trace and the request's id, want authorised and completed", traced)
	}
	said := spans.said()
	for _, want := range []string{"GET trace=" + callersTrace, "GET /s/crm/* trace=" + callersTrace, id, "read store"} {
		if !strings.Contains(said, want) {
			t.Errorf("the collector does not have %q:\n%s", want, said)
		}
	}
	for _, secret := range []string{"sk-live-canary", b.token, "in-the-query"} {
		if strings.Contains(said, secret) {
			t.Errorf("the collector has %q", secret)
		}
	}
}

// TestCollectorIsAway: requests are served, and spans are counted.
func TestCollectorIsAway(t *testing.T) {
	spans := newCollector(t)
	spans.Close()
	b := newBed(t, func(url string) string {
		return one("")(url) + "tracing: {endpoint: " + spans.URL + "/v1/traces}\n"
	})
	gate := b.serve()
	for range 20 {
		b.get(gate.GatewayURL()+"/s/crm/").is(t, 200, "")
	}
	b.until("the loss is counted", func() bool {
		return regexp.MustCompile(`sallyport_trace_spans_total\{result="failed"\} [1-9]`).MatchString(b.scrape(gate))
	})
	b.until("the loss is logged", func() bool { return strings.Contains(b.log.String(), "traces cannot be exported") })
}
