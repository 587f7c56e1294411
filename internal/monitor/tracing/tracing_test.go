package tracing_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/monitor/tracing"
)

// receiver takes OTLP as a collector does.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	spans  []*tracepb.Span
	answer func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
}

func newReceiver(t *testing.T) *receiver {
	rec := &receiver{}
	rec.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var req collectorpb.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" ||
			r.URL.Path != "/v1/traces" {
			t.Errorf("%s with %v: %v", r.URL.Path, r.Header, err)
		}
		rec.mu.Lock()
		answer := rec.answer
		rec.mu.Unlock()
		if answer != nil && answer(w, r) {
			return
		}
		rec.mu.Lock()
		defer rec.mu.Unlock()
		for _, of := range req.GetResourceSpans() {
			if !strings.HasPrefix(of.GetSchemaUrl(), "https://opentelemetry.io/schemas/1.") {
				t.Errorf("the schema is %q", of.GetSchemaUrl())
			}
			for _, in := range of.GetScopeSpans() {
				rec.spans = append(rec.spans, in.GetSpans()...)
			}
		}
	}))
	t.Cleanup(rec.Close)
	return rec
}

func (r *receiver) be(answer func(w http.ResponseWriter, r *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func newTracing(t *testing.T, r *receiver, change func(*tracing.Options)) *tracing.Tracing {
	t.Helper()
	to, err := url.Parse(r.URL + "/v1/traces")
	if err != nil {
		t.Fatal(err)
	}
	o := tracing.Options{
		Endpoint: to, Client: r.Client(), OneIn: 1, Propagate: true, Version: "1.2.3", Host: "gate1",
		Broke: func(why *fault.Panic) { t.Error(why) }, Failed: func(error) {},
	}
	if change != nil {
		change(&o)
	}
	tr := tracing.New(o)
	t.Cleanup(func() { _ = tr.Close(t.Context()) })
	return tr
}

// sent closes a Tracing and returns what has arrived, by name.
func sent(t *testing.T, tr *tracing.Tracing, r *receiver) map[string]*tracepb.Span {
	t.Helper()
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	named := map[string]*tracepb.Span{}
	for _, s := range r.spans {
		named[s.GetName()] = s
	}
	return named
}

func attributes(s *tracepb.Span) map[string]string {
	all := map[string]string{}
	for _, one := range s.GetAttributes() {
		switch v := one.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			all[one.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[one.GetKey()] = fmt.Sprint(v.IntValue)
		}
	}
	return all
}

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	parent  = "00-" + traceID + "-b7ad6b7169203331-01"
)

// TestRequest: the spans of a request hang together, continue the caller's trace, and have what the record has.
func TestRequest(t *testing.T) {
	r := newReceiver(t)
	tr := newTracing(t, r, nil)
	at := time.Now().Add(-time.Second)
	one := tr.Begin(at, []string{parent}, []string{"vendor=x"})
	if id, sampled := one.ID(); id != traceID || !sampled {
		t.Fatalf("the trace is %s, sampled: %v", id, sampled)
	}
	one.Waited(at, at.Add(100*time.Millisecond))
	var headers []http.Header
	for i, status := range []int{401, 200} {
		h := http.Header{"Traceparent": {parent}, "Tracestate": {"forged=1"}, "Baggage": {"a=b"}}
		one.Call(at.Add(time.Duration(i)*time.Millisecond), "https://api.crm.example/base", h)
		one.Called(at.Add(500*time.Millisecond), status, "")
		headers = append(headers, h)
	}
	one.End(&audit.Event{
		Time: at.Add(time.Second), ID: "req-1", Service: "crm", Method: "GET", Host: "api.crm.example:8443",
		Path: "/v1/x?key=[redacted]", Status: 200, Workflow: "w1", Source: "10.0.0.9:4711",
	})
	spans := sent(t, tr, r)
	server, call, wait := spans["GET /s/crm/*"], spans["GET"], spans["wait for credential"]
	if server == nil || call == nil || wait == nil || len(r.spans) != 4 {
		t.Fatalf("%d spans: %v", len(r.spans), spans)
	}
	if hex.EncodeToString(server.GetTraceId()) != traceID ||
		hex.EncodeToString(server.GetParentSpanId()) != "b7ad6b7169203331" {
		t.Errorf("the server's span is %v", server)
	}
	for _, child := range []*tracepb.Span{call, wait} {
		if string(child.GetParentSpanId()) != string(server.GetSpanId()) {
			t.Errorf("%s is no child of the server's span", child.GetName())
		}
	}
	for i, h := range headers {
		got := h.Get("Traceparent")
		if !strings.HasPrefix(got, "00-"+traceID+"-") || got == parent || !strings.HasSuffix(got, "-01") ||
			h.Get("Tracestate") != "vendor=x" || h.Get("Baggage") != "a=b" {
			t.Errorf("call %d has %v", i, h)
		}
	}
	if a := attributes(server); a["http.request.method"] != "GET" || a["http.route"] != "/s/crm/*" ||
		a["url.path"] != "/v1/x" || a["http.response.status_code"] != "200" ||
		a["sallyport.request.id"] != "req-1" || a["client.address"] != "10.0.0.9" {
		t.Errorf("the server's span has %v", a)
	}
	if a := attributes(call); a["server.address"] != "api.crm.example" || a["server.port"] != "8443" ||
		a["http.request.resend_count"] != "1" || a["url.full"] != "https://api.crm.example/base/v1/x" {
		t.Errorf("the last call's span has %v", a)
	}
	if took := server.GetEndTimeUnixNano() - server.GetStartTimeUnixNano(); took != uint64(time.Second) {
		t.Errorf("the server's span takes %d ns", took)
	}
}

// TestNoText: what a caller says and what is no UTF-8 costs neither its own span nor those of others.
func TestNoText(t *testing.T) {
	r := newReceiver(t)
	tr := newTracing(t, r, func(o *tracing.Options) { o.Host = "gate\xff" })
	for _, workflow := range []string{"w\xff1", "w2"} {
		one := tr.Begin(time.Now(), nil, nil)
		one.Call(time.Now(), "https://api.crm.example", http.Header{})
		one.Called(time.Now(), 200, "")
		one.End(&audit.Event{
			Time: time.Now(), Service: "crm", Method: "GET", Path: "/v1/\xfe" + workflow, Status: 200,
			Workflow: workflow, Execution: workflow, Node: strings.Repeat("\xc3", 5000), Source: "\xff",
		})
	}
	sent(t, tr, r)
	if n := tr.Counts(); len(r.spans) != 4 || n.Exported != 4 || n.Failed != 0 {
		t.Fatalf("%d spans have arrived, %+v", len(r.spans), n)
	}
	if a := attributes(r.spans[1]); a["sallyport.workflow"] != "w\uFFFD1" || a["url.path"] != "/v1/\uFFFDw\uFFFD1" {
		t.Errorf("the span has %v", a)
	}
}

// TestHostileParents: what is no trace context begins a trace of its own, and goes nowhere.
func TestHostileParents(t *testing.T) {
	r := newReceiver(t)
	tr := newTracing(t, r, nil)
	long := strings.Repeat("a", 600)
	for name, c := range map[string]struct{ parent, state []string }{
		"none":            {},
		"empty":           {[]string{""}, nil},
		"two":             {[]string{parent, parent}, nil},
		"zero trace":      {[]string{"00-00000000000000000000000000000000-b7ad6b7169203331-01"}, nil},
		"zero span":       {[]string{"00-" + traceID + "-0000000000000000-01"}, nil},
		"capitals":        {[]string{strings.ToUpper(parent)}, nil},
		"version ff":      {[]string{"ff" + parent[2:]}, nil},
		"more":            {[]string{parent + "-more"}, nil},
		"a secret":        {[]string{"00-sk-live-canary-000000000000000000-b7ad6b7169203331-01"}, nil},
		"line break":      {[]string{parent + "\r\nX-Evil: 1"}, nil},
		"very long":       {[]string{parent + strings.Repeat("-0", 10000)}, nil},
		"only a state":    {nil, []string{"vendor=x"}},
		"state with junk": {[]string{"junk"}, []string{long}},
	} {
		t.Run(name, func(t *testing.T) {
			one := tr.Begin(time.Now(), c.parent, c.state)
			id, _ := one.ID()
			if id == traceID || len(id) != 32 || strings.Trim(id, "0") == "" {
				t.Errorf("the trace is %q", id)
			}
			h := http.Header{}
			one.Call(time.Now(), "", h)
			if got := h.Get("Traceparent"); len(got) != 55 || h.Get("Tracestate") != "" {
				t.Errorf("the API gets %v", h)
			}
		})
	}
	for name, state := range map[string][]string{
		"too long": {"vendor=" + long}, "two": {"a=1", "b=2"}, "malformed": {"a=1,,=\x00"},
	} {
		one, h := tr.Begin(time.Now(), []string{parent}, state), http.Header{}
		one.Call(time.Now(), "", h)
		if id, _ := one.ID(); id != traceID || h.Get("Tracestate") != "" {
			t.Errorf("%s: trace %s, the API gets %v", name, id, h)
		}
	}
}

// TestSampling: a caller's decision counts, and of those without one a share; what is not sampled costs no export and
// still tells the API so.
func TestSampling(t *testing.T) {
	r := newReceiver(t)
	tr := newTracing(t, r, func(o *tracing.Options) { o.OneIn = 1_000_000 })
	for range 50 {
		one, h := tr.Begin(time.Now(), nil, nil), http.Header{}
		one.Call(time.Now(), "", h)
		one.End(&audit.Event{Method: "GET", Time: time.Now()})
		if _, sampled := one.ID(); sampled || !strings.HasSuffix(h.Get("Traceparent"), "-00") {
			t.Fatalf("sampled; the API gets %v", h)
		}
	}
	one := tr.Begin(time.Now(), []string{parent}, nil)
	one.End(&audit.Event{Method: "GET", Service: "crm", Time: time.Now(), Status: 200})
	if spans := sent(t, tr, r); len(r.spans) != 1 || spans["GET /s/crm/*"] == nil {
		t.Errorf("%d spans: %v", len(r.spans), spans)
	}
}

// TestNoPropagation: an API that is to see nothing sees nothing.
func TestNoPropagation(t *testing.T) {
	r := newReceiver(t)
	tr := newTracing(t, r, func(o *tracing.Options) { o.Propagate = false })
	h := http.Header{"Traceparent": {parent}, "Tracestate": {"a=1"}, "Baggage": {"user=ann"}, "Accept": {"*/*"}}
	tr.Begin(time.Now(), []string{parent}, []string{"a=1"}).Call(time.Now(), "", h)
	if len(h) != 1 {
		t.Errorf("the API gets %v", h)
	}
}

// TestReceiverHangs: with a receiver that never answers, no request waits, memory has a bound, and what is lost is
// counted; ending takes no longer than it is given.
func TestReceiverHangs(t *testing.T) {
	r := newReceiver(t)
	hanging := make(chan struct{}, 100)
	r.be(func(_ http.ResponseWriter, req *http.Request) bool {
		hanging <- struct{}{}
		<-req.Context().Done()
		return true
	})
	tr := newTracing(t, r, nil)
	const made = 10_000
	for i := range made {
		one := tr.Begin(time.Now(), nil, nil)
		one.End(&audit.Event{Method: "GET", Time: time.Now()})
		if i == 600 {
			<-hanging // a batch is on its way
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Close(ctx); err != nil {
		t.Fatal(err)
	}
	n := tr.Counts()
	if n.Exported != 0 || n.Dropped < made-2048-2*512 || n.Dropped+n.Failed > made {
		t.Errorf("of %d spans: %+v", made, n)
	}
}

// TestReceiverFails: what was not taken is counted, and said; the next batch is another try.
func TestReceiverFails(t *testing.T) {
	lie, err := proto.Marshal(&collectorpb.ExportTraceServiceResponse{
		PartialSuccess: &collectorpb.ExportTracePartialSuccess{RejectedSpans: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func(http.ResponseWriter){
		"500":       func(w http.ResponseWriter) { w.WriteHeader(500) },
		"a lie":     func(w http.ResponseWriter) { _, _ = w.Write(lie) },
		"an abort":  func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"redirects": func(w http.ResponseWriter) { w.Header().Set("Location", "/x"); w.WriteHeader(304) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			r.be(func(w http.ResponseWriter, _ *http.Request) bool { answer(w); return true })
			var failures []error
			tr := newTracing(t, r, func(o *tracing.Options) {
				o.Failed = func(err error) { failures = append(failures, err) }
			})
			tr.Begin(time.Now(), nil, nil).End(&audit.Event{Method: "GET", Time: time.Now()})
			if err := tr.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := tr.Counts(); n.Failed != 1 || n.Exported != 0 || len(failures) != 1 || failures[0] == nil {
				t.Errorf("%+v, told %v", n, failures)
			}
		})
	}
}

// TestAlone: tokens that are obtained and stores that are read have traces of their own, without a text of others.
func TestAlone(t *testing.T) {
	r := newReceiver(t)
	tr := newTracing(t, r, nil)
	failed := fault.New(fault.CredentialMintFailed, "text of another")
	tr.Minted(derive.Observation{Name: "crm", Took: time.Second, Fault: failed})
	tr.Read("vault", time.Now(), 3, fmt.Errorf("text of another"))
	spans := sent(t, tr, r)
	minted, read := spans["obtain token"], spans["read store"]
	if minted == nil || read == nil || attributes(read)["sallyport.store"] != "vault" ||
		attributes(minted)["error.type"] != string(fault.CredentialMintFailed) {
		t.Fatalf("spans %v", spans)
	}
	if text := fmt.Sprint(r.spans); strings.Contains(text, "of another") {
		t.Errorf("spans quote others: %s", text)
	}
}
