package otlp

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"sallyport/internal/audit"
	"sallyport/internal/audit/sink"
	"sallyport/internal/fault"
)

// collector implements sink.Sink.
type collector struct {
	settings Settings
	host     sink.Host
	client   *sink.Client
}

// Ship implements sink.Sink.
func (c *collector) Ship(ctx context.Context, batch []sink.Item) error {
	// LogsData is on the wire what ExportLogsServiceRequest is, without gRPC around it.
	body, err := proto.Marshal(c.data(batch))
	if err != nil {
		return fmt.Errorf("writing log records: %w", err)
	}
	req, err := sink.Post(ctx, c.settings.URL.String(), "application/x-protobuf", body, c.settings.Gzip, c.host)
	if err != nil {
		return err
	}
	if err := c.settings.auth().Set(ctx, req, c.host); err != nil {
		return err
	}
	resp, err := c.client.Do(ctx, req)
	if err != nil {
		return err
	}
	return accepted(resp.Body)
}

// Close implements sink.Sink.
func (c *collector) Close() error {
	c.client.CloseIdle()
	return nil
}

// accepted reads an ExportLogsServiceResponse: a receiver may answer 200, and say in it how many it did not take.
func accepted(body []byte) error {
	part, err := field(body, 1) // partial_success
	if err != nil {
		return fault.WithHint(errors.New("the response is none of a collector"),
			"look at the address: it has to be that of OTLP over HTTP, whose path is /v1/logs")
	}
	for len(part) > 0 {
		num, typ, n := protowire.ConsumeTag(part)
		if n < 0 {
			return errors.New("the response of the collector cannot be read")
		}
		part = part[n:]
		if num == 1 && typ == protowire.VarintType { // rejected_log_records
			rejected, n := protowire.ConsumeVarint(part)
			if n > 0 && rejected > 0 {
				return fault.WithHint(fmt.Errorf("the collector did not take %d of the log records", rejected),
					"its log says why")
			}
		}
		if n = protowire.ConsumeFieldValue(num, typ, part); n < 0 {
			return errors.New("the response of the collector cannot be read")
		}
		part = part[n:]
	}
	return nil
}

// field is the last value of a message's field that is itself a message.
func field(message []byte, want protowire.Number) (value []byte, err error) {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		message = message[n:]
		if num == want {
			if typ != protowire.BytesType {
				return nil, errors.New("it is no message")
			}
			if value, n = protowire.ConsumeBytes(message); n < 0 {
				return nil, protowire.ParseError(n)
			}
		} else if n = protowire.ConsumeFieldValue(num, typ, message); n < 0 {
			return nil, protowire.ParseError(n)
		}
		message = message[n:]
	}
	return value, nil
}

func (c *collector) data(batch []sink.Item) *logspb.LogsData {
	records := make([]*logspb.LogRecord, len(batch))
	for i := range batch {
		records[i] = c.record(&batch[i])
	}
	return &logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
			text("service.name", "sallyport"), text("service.version", c.host.Version),
			text("host.name", c.host.Hostname),
		}},
		ScopeLogs: []*logspb.ScopeLogs{{
			Scope: &commonpb.InstrumentationScope{Name: "sallyport/audit"}, LogRecords: records,
		}},
	}}}
}

// record is the record as the body, and what one searches by as attributes.
func (c *collector) record(item *sink.Item) *logspb.LogRecord {
	ev := &item.Event
	number, name := severity(ev)
	kind := "checkpoint"
	if ev.Kind != "" {
		kind = string(ev.Kind)
	}
	now := time.Now
	if c.host.Now != nil {
		now = c.host.Now
	}
	out := &logspb.LogRecord{
		TimeUnixNano: nanos(item.Time), ObservedTimeUnixNano: nanos(now()), SeverityNumber: number, SeverityText: name,
		EventName: "sallyport.audit." + kind, Body: str(string(item.Text)),
		Attributes: []*commonpb.KeyValue{
			text("log.record.uid", fmt.Sprintf("%s/%d", item.Log, item.Seq)),
			whole("sallyport.audit.seq", int64(item.Seq)), text("sallyport.audit.log", item.Log),
		},
	}
	for _, one := range []struct{ key, value string }{
		{"sallyport.request.id", ev.ID},
		{"sallyport.service", ev.Service},
		{"sallyport.token", ev.Label},
		{"sallyport.workflow", ev.Workflow},
		{"sallyport.code", ev.Code},
		{"sallyport.blame", ev.Blame},
		{"sallyport.action", ev.Action},
		{"http.request.method", ev.Method},
		{"server.address", ev.Host},
	} {
		if one.value != "" {
			out.Attributes = append(out.Attributes, text(one.key, one.value))
		}
	}
	if id, err := hex.DecodeString(ev.Trace); err == nil && len(id) == traceIDSize {
		out.TraceId = id
	}
	if ev.Status != 0 {
		out.Attributes = append(out.Attributes, whole("http.response.status_code", int64(ev.Status)))
	}
	return out
}

// traceIDSize is how many bytes a trace id has (W3C Trace Context, section 3.2.2.3).
const traceIDSize = 16

func severity(ev *audit.Event) (logspb.SeverityNumber, string) {
	switch {
	case ev.Kind == audit.KindRecovered:
		return logspb.SeverityNumber_SEVERITY_NUMBER_ERROR, "ERROR"
	case ev.Kind == audit.KindRefused, ev.Code != "":
		return logspb.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
	}
	return logspb.SeverityNumber_SEVERITY_NUMBER_INFO, "INFO"
}

func nanos(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) }

func str(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: str(value)}
}

func whole(key string, value int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{
		Value: &commonpb.AnyValue_IntValue{IntValue: value},
	}}
}
