package otlp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"sallyport/internal/audit/sink"
	"sallyport/internal/audit/sink/otlp"
	"sallyport/internal/audit/sink/sinktest"
	"sallyport/internal/secret"
)

const token = "canary-token-2b7e"

func TestKind(t *testing.T) { sinktest.Kind(t, otlp.Kind()) }

func host() sink.Host {
	read := func(context.Context, secret.Ref) (secret.Value, error) { return secret.NewValue([]byte(token)), nil }
	return sink.Host{Hostname: "node1", Version: "1.2.3", Secret: read}
}

func attribute(list []*commonpb.KeyValue, key string) *commonpb.AnyValue {
	for _, one := range list {
		if one.GetKey() == key {
			return one.GetValue()
		}
	}
	return nil
}

// read reads a request with the messages of the protocol itself.
func read(r *http.Request, body []byte) (taken []sinktest.Taken, err error) {
	if r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("X-Api-Key") != token ||
		r.URL.Path != "/v1/logs" || r.Method != http.MethodPost {
		return nil, fmt.Errorf("%s %s with %v", r.Method, r.URL.Path, r.Header)
	}
	var req collectorpb.ExportLogsServiceRequest
	if err := proto.Unmarshal(body, &req); err != nil {
		return nil, err
	}
	for _, of := range req.GetResourceLogs() {
		if attribute(of.GetResource().GetAttributes(), "service.name").GetStringValue() != "sallyport" {
			return nil, errors.New("the resource has no service.name")
		}
		for _, in := range of.GetScopeLogs() {
			for _, rec := range in.GetLogRecords() {
				if rec.GetTimeUnixNano() == 0 || rec.GetSeverityNumber() == 0 || rec.GetEventName() == "" {
					return nil, fmt.Errorf("a record is %v", rec)
				}
				taken = append(taken, sinktest.Taken{
					Seq:  int(attribute(rec.GetAttributes(), "sallyport.audit.seq").GetIntValue()),
					Text: rec.GetBody().GetStringValue(),
				})
			}
		}
	}
	return taken, nil
}

func answer(w http.ResponseWriter, resp *collectorpb.ExportLogsServiceResponse) {
	body, err := proto.Marshal(resp)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(body)
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) *sinktest.World {
		server := &sinktest.HTTP{
			Read: read,
			Done: func(w http.ResponseWriter) { answer(w, &collectorpb.ExportLogsServiceResponse{}) },
			Failed: func(w http.ResponseWriter) {
				answer(w, &collectorpb.ExportLogsServiceResponse{PartialSuccess: &collectorpb.ExportLogsPartialSuccess{
					RejectedLogRecords: 2, ErrorMessage: "no",
				}})
			},
		}
		base, ca := server.Serve(t)
		return &sinktest.World{
			Receiver: server.Receiver, Stop: server.Stop, Start: server.Start, Secret: token,
			Open: func(t *testing.T) sink.Sink { return open(t, base, ca) },
		}
	})
}

func open(t *testing.T, base, ca string) sink.Sink {
	t.Helper()
	to, err := url.Parse(base + "/v1/logs")
	if err != nil {
		t.Fatal(err)
	}
	s := &otlp.Settings{URL: to, CAFile: ca, Header: "X-Api-Key", Token: secret.Ref{Store: "builtin", Path: "token"}}
	opened, err := s.Open(t.Context(), host())
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// TestAnswers: what a response says counts, whatever is around it.
func TestAnswers(t *testing.T) {
	full, err := proto.Marshal(&collectorpb.ExportLogsServiceResponse{
		PartialSuccess: &collectorpb.ExportLogsPartialSuccess{ErrorMessage: "a warning only"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ body, want string }{
		"nothing":            {"", ""},
		"a warning":          {string(full), ""},
		"an unknown field":   {"\x10\x05", ""},
		"of a web server":    {"<html>hello</html>", "none of a collector"},
		"cut":                {"\x0a\x05\x08", "none of a collector"},
		"a part that is cut": {"\x0a\x01\x08", "cannot be read"},
		"rejected":           {"\x0a\x02\x08\x07", "did not take 7"},
	} {
		t.Run(name, func(t *testing.T) {
			server := &sinktest.HTTP{Read: read}
			server.Done = func(w http.ResponseWriter) { _, _ = io.WriteString(w, tt.body) }
			base, ca := server.Serve(t)
			s := open(t, base, ca)
			defer s.Close()
			err := s.Ship(t.Context(), nil)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
