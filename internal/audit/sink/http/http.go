package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"sallyport/internal/audit/sink"
	"sallyport/internal/fault"
)

// receiver implements sink.Sink.
type receiver struct {
	settings Settings
	host     sink.Host
	client   *sink.Client
}

// Ship implements sink.Sink.
func (r *receiver) Ship(ctx context.Context, batch []sink.Item) error {
	body, err := r.body(batch)
	if err != nil {
		return err
	}
	contentType := "application/json"
	if r.settings.Form == formNDJSON {
		contentType = "application/x-ndjson"
	}
	req, err := sink.Post(ctx, r.settings.URL.String(), contentType, body, r.settings.Gzip, r.host)
	if err != nil {
		return err
	}
	if err := r.settings.auth().Set(ctx, req, r.host); err != nil {
		return err
	}
	resp, err := r.client.Do(ctx, req)
	if r.settings.Form == formSplunk {
		return splunkSays(resp.Body, err)
	}
	return err
}

// splunkEvent is an event as the HTTP Event Collector takes it.
type splunkEvent struct {
	Time       json.Number     `json:"time"` // seconds since 1970
	Host       string          `json:"host,omitempty"`
	Source     string          `json:"source"`
	SourceType string          `json:"sourcetype"`
	Index      string          `json:"index,omitempty"`
	Event      json.RawMessage `json:"event"`
	Fields     splunkFields    `json:"fields"`
}

// splunkFields are indexed: by them a search leaves out what came twice.
type splunkFields struct {
	Seq int    `json:"seq"`
	Log string `json:"log"`
}

func (r *receiver) splunkEvent(item sink.Item) splunkEvent {
	us := item.Time.UnixMicro()
	return splunkEvent{
		Time: json.Number(fmt.Sprintf("%d.%06d", us/1e6, us%1e6)), Host: r.host.Hostname, Source: "sallyport",
		SourceType: r.settings.SourceType, Index: r.settings.Index, Event: item.Text,
		Fields: splunkFields{item.Seq, item.Log},
	}
}

func (r *receiver) body(batch []sink.Item) ([]byte, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false) // the record's own bytes, or its MAC would not hold any more
	for i, item := range batch {
		switch r.settings.Form {
		case formSplunk:
			if err := out.Encode(r.splunkEvent(item)); err != nil {
				return nil, fmt.Errorf("writing record %d for Splunk: %w", item.Seq, err)
			}
		case formJSON:
			b.WriteByte(map[bool]byte{true: '[', false: ','}[i == 0])
			b.Write(item.Text)
		default:
			b.Write(item.Text)
			b.WriteByte('\n')
		}
	}
	if r.settings.Form == formJSON {
		b.WriteByte(']')
	}
	return b.Bytes(), nil
}

// The codes in responses of Splunk's collector, as its documentation lists them.
const (
	splunkSuccess      = 0
	splunkBadIndex     = 7
	splunkInternal     = 8
	splunkBusy         = 9
	splunkNeedsChannel = 10
	splunkHealthy      = 17
)

// splunkSays is what became of a batch. Success is what the body says: whatever stands between may answer 200 too.
func splunkSays(body []byte, err error) error {
	var said struct {
		Code *int `json:"code"`
	}
	if json.Unmarshal(body, &said) != nil {
		said.Code = nil
	}
	switch {
	case said.Code == nil && err == nil:
		return fault.WithHint(errors.New("posting to Splunk: the response is none of its HTTP Event Collector"),
			"look at the address: its path is /services/collector/event, and nothing else may answer in its place")
	case said.Code == nil || err != nil && *said.Code == splunkSuccess:
		return err
	case *said.Code == splunkSuccess:
		return nil
	}
	if err == nil {
		err = errors.New("posting to Splunk: it did not take the batch")
	}
	hint := fault.HintOf(err)
	switch *said.Code {
	case splunkBadIndex:
		hint = "the token may not write to this index: allow it in Splunk, or change index"
	case splunkNeedsChannel:
		hint = "the token has indexer acknowledgment enabled, which needs a channel: use a token without it"
	case splunkInternal, splunkBusy:
		hint = "it is overloaded; records wait in the log meanwhile"
	case splunkHealthy:
		hint = "that is its health check: the path is /services/collector/event"
	case 1, 2, 3, 4: //nolint:mnd // disabled, required, malformed, unknown
		hint = "look at the token: it has to be one of the HTTP Event Collector that is enabled"
	}
	return fault.WithHint(fmt.Errorf("%w, code %d", err, *said.Code), hint)
}

// Close implements sink.Sink.
func (r *receiver) Close() error {
	r.client.CloseIdle()
	return nil
}
