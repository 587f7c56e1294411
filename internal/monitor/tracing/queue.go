package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

const (
	queued     = 2048             // spans that wait at most
	batched    = 512              // spans in one export
	exportWait = 5 * time.Second  // a span waits at most, unless the receiver is slow
	exportTime = 10 * time.Second // an export may take
	maxAnswer  = 64 << 10         // of a response is read, in bytes
)

// queue implements sdktrace.SpanProcessor: what does not fit is dropped, and nobody waits.
type queue struct {
	counters

	waiting  chan sdktrace.ReadOnlySpan
	exporter *otlptrace.Exporter
	o        *Options
	quit     chan struct{}
	once     sync.Once
	working  guard.Group
	ctx      context.Context //nolint:containedctx // of exports; Shutdown ends it
	cancel   context.CancelFunc
}

func newQueue(o *Options) *queue {
	q := &queue{waiting: make(chan sdktrace.ReadOnlySpan, queued), o: o, quit: make(chan struct{})}
	q.exporter = otlptrace.NewUnstarted(client{o})
	q.ctx, q.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // Shutdown ends it
	q.working.Go("exporting traces", func() { guard.Until(q.quit, "exporting traces", q.run, o.Broke) })
	return q
}

// OnStart implements sdktrace.SpanProcessor.
func (*queue) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	select {
	case q.waiting <- s:
	default:
		q.dropped.Add(1)
	}
}

// ForceFlush implements sdktrace.SpanProcessor.
func (*queue) ForceFlush(context.Context) error { return nil }

// Shutdown implements sdktrace.SpanProcessor: what waits is exported, as long as ctx lasts.
func (q *queue) Shutdown(ctx context.Context) error {
	q.once.Do(func() { close(q.quit) })
	done := make(chan struct{})
	guard.Go("ending traces", func() {
		defer close(done)
		q.working.Wait()
	}, q.o.Broke)
	select {
	case <-done:
	case <-ctx.Done():
		q.cancel()
		<-done
	}
	q.cancel()
	return nil
}

func (q *queue) counts() Counts {
	return Counts{int(q.exported.Load()), int(q.dropped.Load()), int(q.failed.Load())}
}

// run exports until the queue is closed, and then what is left of it.
func (q *queue) run() {
	batch := make([]sdktrace.ReadOnlySpan, 0, batched)
	for {
		tick := time.NewTimer(exportWait)
		batch = q.gather(batch[:0], tick.C)
		tick.Stop()
		q.export(batch)
		select {
		case <-q.quit:
			for len(q.waiting) > 0 && q.ctx.Err() == nil {
				batch = q.drain(batch[:0])
				q.export(batch)
			}
			return
		default:
		}
	}
}

// gather takes spans until there are enough, or time is up.
func (q *queue) gather(batch []sdktrace.ReadOnlySpan, up <-chan time.Time) []sdktrace.ReadOnlySpan {
	for len(batch) < batched {
		select {
		case s := <-q.waiting:
			batch = append(batch, s)
		case <-up:
			return batch
		case <-q.quit:
			return batch
		}
	}
	return batch
}

func (q *queue) drain(batch []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	for len(batch) < batched {
		select {
		case s := <-q.waiting:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}

// export is one try: traces are not worth a second, and the next batch comes soon.
func (q *queue) export(batch []sdktrace.ReadOnlySpan) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(q.ctx, exportTime)
	defer cancel()
	err := guard.Try("exporting traces", func() error { return q.exporter.ExportSpans(ctx, batch) })
	if why, ok := errors.AsType[*fault.Panic](err); ok {
		q.o.Broke(why)
	}
	if err != nil {
		q.failed.Add(int64(len(batch)))
	} else {
		q.exported.Add(int64(len(batch)))
	}
	q.o.Failed(err)
}

// client implements otlptrace.Client.
type client struct{ o *Options }

// Start implements otlptrace.Client.
func (client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (client) Stop(context.Context) error { return nil }

// UploadTraces implements otlptrace.Client. TracesData is on the wire what ExportTraceServiceRequest is.
func (c client) UploadTraces(ctx context.Context, spans []*collectorpb.ResourceSpans) error {
	body, err := proto.Marshal(&collectorpb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("writing spans: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.o.Endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("exporting traces: the address is malformed")
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "Sallyport/"+c.o.Version)
	if c.o.Authorise != nil {
		if err := c.o.Authorise(ctx, req); err != nil {
			return err
		}
	}
	resp, err := c.o.Client.Do(req)
	if err != nil {
		return fault.WithHint(fmt.Errorf("exporting traces to %s: it cannot be reached, or takes too long",
			c.o.Endpoint.Host), "look whether it runs, and at tracing.endpoint and tracing.ca_file")
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode/100 != 2: //nolint:mnd // a class of statuses
		return fault.WithHint(fmt.Errorf("exporting traces to %s: it answered %d", c.o.Endpoint.Host, resp.StatusCode),
			"look at tracing.endpoint, whose path is /v1/traces, and at tracing.token")
	case err != nil:
		return fmt.Errorf("exporting traces to %s: the response broke off", c.o.Endpoint.Host)
	}
	if n := rejected(answer); n > 0 {
		return fault.WithHint(fmt.Errorf("exporting traces to %s: it did not take %d spans", c.o.Endpoint.Host, n),
			"its log says why")
	}
	return nil
}

// rejected reads partial_success.rejected_spans of an ExportTraceServiceResponse.
func rejected(message []byte) uint64 {
	part := value(message, 1, protowire.BytesType)
	inner, n := protowire.ConsumeBytes(part)
	if n < 0 {
		return 0
	}
	count, n := protowire.ConsumeVarint(value(inner, 1, protowire.VarintType))
	if n < 0 {
		return 0
	}
	return count
}

// value is where the value of a message's field begins.
func value(message []byte, want protowire.Number, of protowire.Type) []byte {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		if num == want && typ == of {
			return message
		}
		if n = protowire.ConsumeFieldValue(num, typ, message); n < 0 {
			return nil
		}
		message = message[n:]
	}
	return nil
}
