// Package tracing makes OpenTelemetry traces of requests, and exports them as OTLP over HTTP with protobuf.
//
// A trace never keeps a request waiting: spans go into a queue of a fixed size, and what does not fit is dropped and
// counted. It begins after the token was verified, so that strangers make no spans. A caller's trace context is
// continued only if it is well formed, and handed on to the API in the gate's own words.
//
// Invariant: an attribute holds nothing but what the audit record of the request holds too, masked as it is there, and
// of a URL no query.
package tracing

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
)

// schema names the version of the semantic conventions that attributes follow.
const schema = "https://opentelemetry.io/schemas/1.37.0"

// scope is who makes the spans.
const scope = "sallyport"

// maxState is the longest tracestate, in bytes, that is continued; the W3C has vendors hand on that much at least.
const maxState = 512

// Bounds of a span: the queue has a bound of memory then too.
const (
	maxValue      = 1024 // bytes of a text
	maxAttributes = 32
)

// Options are what a Tracing needs.
type Options struct {
	Endpoint *url.URL // where spans are posted to
	Client   *http.Client
	// Authorise puts what the receiver wants onto a request; nil: nothing
	Authorise func(ctx context.Context, req *http.Request) error

	OneIn     int  // of so many traces that begin here one is exported; a caller's own decision counts otherwise
	Propagate bool // the trace is continued at the API; else nothing of it is sent there

	Version, Host string
	Broke         func(*fault.Panic)
	Failed        func(error) // is told of an export that failed, and with nil of one that went well
}

// Tracing implements boundary.Tracer.
type Tracing struct {
	o       Options
	tracer  trace.Tracer
	queue   *queue
	context propagation.TraceContext
}

// New returns a Tracing that exports until Close.
func New(o Options) *Tracing {
	t := &Tracing{o: o, queue: newQueue(&o)}
	share := sdktrace.TraceIDRatioBased(1 / float64(max(1, o.OneIn)))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{
			AttributeValueLengthLimit: maxValue, AttributeCountLimit: maxAttributes,
		}),
		sdktrace.WithSampler(sdktrace.ParentBased(share)), sdktrace.WithSpanProcessor(t.queue),
		sdktrace.WithResource(resource.NewWithAttributes(schema, attribute.String("service.name", "sallyport"),
			attribute.String("service.version", o.Version),
			attribute.String("host.name", strings.ToValidUTF8(o.Host, "\uFFFD")))),
	)
	t.tracer = provider.Tracer(scope, trace.WithSchemaURL(schema), trace.WithInstrumentationVersion(o.Version))
	return t
}

// Close exports what waits, as long as ctx lasts. The provider would not come to the queue where ctx has ended.
func (t *Tracing) Close(ctx context.Context) error { return t.queue.Shutdown(ctx) }

// Counts are how many spans came to what end.
func (t *Tracing) Counts() Counts { return t.queue.counts() }

// carrier holds the two headers of W3C Trace Context.
type carrier struct{ parent, state string }

// Get implements propagation.TextMapCarrier.
func (c *carrier) Get(key string) string {
	if key == "traceparent" {
		return c.parent
	}
	return c.state
}

// Set implements propagation.TextMapCarrier.
func (c *carrier) Set(key, value string) {
	if key == "traceparent" {
		c.parent = value
	} else {
		c.state = value
	}
}

// Keys implements propagation.TextMapCarrier.
func (*carrier) Keys() []string { return []string{"traceparent", "tracestate"} }

// maxParent is the longest traceparent that is read: later versions may have more than the 55 bytes of version 00.
const maxParent = 128

// given is the context of the caller's trace, which may be none.
func (t *Tracing) given(parent, state []string) context.Context {
	ctx := context.Background() //nolint:forbidigo // a span's context carries the trace, and ends nothing
	if len(parent) != 1 || len(parent[0]) > maxParent {
		return ctx // more than one is none (section 3.2)
	}
	c := &carrier{parent: parent[0]}
	if len(state) == 1 && len(state[0]) <= maxState {
		c.state = state[0]
	}
	return t.context.Extract(ctx, c)
}

// Begin implements boundary.Tracer.
func (t *Tracing) Begin(at time.Time, parent, state []string) boundary.Trace {
	ctx, span := t.tracer.Start(t.given(parent, state), "request", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithTimestamp(at))
	return &request{t: t, ctx: ctx, span: span}
}

// request implements boundary.Trace.
type request struct {
	t     *Tracing
	ctx   context.Context //nolint:containedctx // it carries the span, and ends nothing
	span  trace.Span
	calls []call
}

type call struct {
	span   trace.Span
	base   string    // what its URL begins with
	at     time.Time // when it ended; zero: it has not
	status int
	code   fault.Code
}

// ID implements boundary.Trace.
func (r *request) ID() (id string, sampled bool) {
	c := r.span.SpanContext()
	return c.TraceID().String(), c.IsSampled()
}

// waitShown is the shortest wait for a credential that makes a span: one that is in memory takes less.
const waitShown = time.Millisecond

// Waited implements boundary.Trace.
func (r *request) Waited(from, to time.Time) {
	if to.Sub(from) < waitShown || !r.span.IsRecording() {
		return
	}
	_, span := r.t.tracer.Start(r.ctx, "wait for credential", trace.WithTimestamp(from))
	span.End(trace.WithTimestamp(to))
}

// Call implements boundary.Trace.
func (r *request) Call(at time.Time, base string, to http.Header) {
	delete(to, "Traceparent")
	delete(to, "Tracestate")
	ctx, span := r.t.tracer.Start(r.ctx, "call", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(at))
	r.calls = append(r.calls, call{span: span, base: base})
	if !r.t.o.Propagate {
		delete(to, "Baggage")
		return
	}
	var c carrier
	r.t.context.Inject(ctx, &c)
	if c.parent != "" {
		to["Traceparent"] = []string{c.parent}
	}
	if c.state != "" {
		to["Tracestate"] = []string{c.state}
	}
}

// Called implements boundary.Trace.
func (r *request) Called(at time.Time, status int, code fault.Code) {
	if n := len(r.calls); n > 0 {
		c := &r.calls[n-1]
		c.at, c.status, c.code = at, status, code
	}
}

// End implements boundary.Trace.
func (r *request) End(ev *audit.Event) {
	for i := range r.calls {
		r.endCall(i, ev)
	}
	if r.span.IsRecording() {
		r.span.SetName(nameOf(ev))
		r.span.SetAttributes(serverAttributes(ev)...)
		if ev.Status >= http.StatusInternalServerError || ev.Status == 0 {
			r.span.SetStatus(codes.Error, ev.Code)
		}
	}
	r.span.End(trace.WithTimestamp(ev.Time))
}

func (r *request) endCall(i int, ev *audit.Event) {
	c := &r.calls[i]
	if c.at.IsZero() {
		c.at = ev.Time
	}
	if c.span.IsRecording() {
		c.span.SetName(methodOf(ev))
		c.span.SetAttributes(clientAttributes(ev, c, i)...)
		if c.status >= http.StatusBadRequest || c.status == 0 {
			c.span.SetStatus(codes.Error, string(c.code))
		}
	}
	c.span.End(trace.WithTimestamp(c.at))
}

// Minted makes the span of an attempt to obtain a token. It is a trace of its own: many requests may wait for one.
func (t *Tracing) Minted(o derive.Observation) {
	end := time.Now()
	span := t.alone("obtain token", end.Add(-o.Took), attribute.String("sallyport.service", o.Name))
	if o.Fault != nil {
		span.SetStatus(codes.Error, string(o.Fault.Code))
		span.SetAttributes(attribute.String("error.type", string(o.Fault.Code)))
	}
	span.End(trace.WithTimestamp(end))
}

// Read makes the span of a reading of a store, a trace of its own too.
func (t *Tracing) Read(store string, began time.Time, secrets int, err error) {
	span := t.alone("read store", began, attribute.String("sallyport.store", store),
		attribute.Int("sallyport.secrets", secrets))
	if err != nil { // its text may be another's
		span.SetStatus(codes.Error, string(fault.StoreUnavailable))
		span.SetAttributes(attribute.String("error.type", string(fault.StoreUnavailable)))
	}
	span.End()
}

func (t *Tracing) alone(name string, at time.Time, with ...attribute.KeyValue) trace.Span {
	ctx := context.Background() //nolint:forbidigo // it begins a trace, and ends nothing
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(at),
		trace.WithAttributes(with...))
	return span
}

// Counts are how many spans came to what end.
type Counts struct{ Exported, Dropped, Failed int }

type counters struct{ exported, dropped, failed atomic.Int64 }
