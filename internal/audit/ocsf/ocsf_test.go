package ocsf_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/audit/ocsf"
)

// shape is what version 1.3.0 of the schema says of an object, as far as events here have it: the type of each
// attribute, and which have to be there. Names and requirements are the schema's (events/application/api_activity,
// application_lifecycle, objects/…).
type shape struct {
	required []string
	one      []string // at least one of them
	has      map[string]any
}

type (
	text    struct{}
	number  struct{}
	free    struct{} // an object of any shape
	several struct{ of shape }
)

var (
	productShape = shape{
		required: []string{"vendor_name"}, one: []string{"name", "uid"},
		has: map[string]any{"name": text{}, "vendor_name": text{}, "version": text{}, "uid": text{}},
	}
	endpointShape = shape{
		one: []string{"ip", "uid", "name", "hostname", "svc_name"},
		has: map[string]any{"ip": text{}, "name": text{}, "hostname": text{}, "svc_name": text{}},
	}
	base = shape{
		required: []string{"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"},
		has: map[string]any{
			"activity_id": number{}, "activity_name": text{}, "category_uid": number{}, "category_name": text{},
			"class_uid": number{}, "class_name": text{}, "type_uid": number{}, "time": number{},
			"severity_id": number{}, "severity": text{}, "status_id": number{}, "status": text{},
			"status_code": text{}, "status_detail": text{}, "message": text{}, "duration": number{},
			"raw_data": text{}, "unmapped": free{},
			"metadata": shape{
				required: []string{"product", "version"},
				has: map[string]any{
					"version": text{}, "product": productShape, "uid": text{}, "sequence": number{},
					"event_code": text{}, "log_name": text{}, "original_time": text{}, "correlation_uid": text{},
				},
			},
		},
	}
)

// classes are the two classes, each with what it has beside base.
var classes = map[float64]shape{
	6002: {required: []string{"app"}, has: map[string]any{"app": productShape}},
	6003: {required: []string{"actor", "api", "src_endpoint"}, has: map[string]any{
		"actor": shape{
			one: []string{"user", "app_name"},
			has: map[string]any{
				"app_name": text{},
				"user": shape{
					one: []string{"name", "uid"}, has: map[string]any{"name": text{}, "uid": text{}},
				},
			},
		},
		"api": shape{required: []string{"operation"}, has: map[string]any{
			"operation": text{},
			"request":   shape{required: []string{"uid"}, has: map[string]any{"uid": text{}}},
			"response": shape{has: map[string]any{
				"code": number{}, "error": text{}, "error_message": text{},
			}},
			"service": shape{one: []string{"name", "uid"}, has: map[string]any{"name": text{}}},
		}},
		"src_endpoint": endpointShape, "dst_endpoint": endpointShape,
		"http_request": shape{has: map[string]any{
			"http_method": text{}, "uid": text{},
			"url": shape{has: map[string]any{"hostname": text{}, "path": text{}, "query_string": text{}}},
		}},
		"http_response": shape{required: []string{"code"}, has: map[string]any{"code": number{}}},
		"resources": several{shape{one: []string{"name", "uid"}, has: map[string]any{
			"name": text{}, "type": text{},
		}}},
	}},
}

// fits reports what of v is not as the schema says.
func fits(t *testing.T, at string, v, want any) {
	t.Helper()
	switch want := want.(type) {
	case text:
		if s, ok := v.(string); !ok || s == "" {
			t.Errorf("%s is %v, want a text", at, v)
		}
	case number:
		if n, ok := v.(float64); !ok || n != math.Trunc(n) {
			t.Errorf("%s is %v, want a whole number", at, v)
		}
	case several:
		list, _ := v.([]any)
		for _, one := range list {
			fits(t, at, one, want.of)
		}
	case shape:
		object, ok := v.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, want an object", at, v)
		}
		for _, name := range want.required {
			if _, ok := object[name]; !ok {
				t.Errorf("%s has no %s", at, name)
			}
		}
		if len(want.one) > 0 && !slices.ContainsFunc(want.one, func(n string) bool { return object[n] != nil }) {
			t.Errorf("%s has none of %v", at, want.one)
		}
		for name, value := range object {
			if want.has[name] == nil {
				t.Errorf("%s.%s is no attribute of the schema", at, name)
				continue
			}
			fits(t, at+"."+name, value, want.has[name])
		}
	}
}

// event is a record as OCSF, held to the schema.
func event(t *testing.T, line []byte) map[string]any {
	t.Helper()
	rec, err := audit.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := ocsf.Encode(rec, ocsf.Context{Version: "1.2.3", Log: "log1", Raw: line})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(encoded, &got); err != nil || bytes.ContainsRune(encoded, '\n') {
		t.Fatalf("%s: %v", encoded, err)
	}
	class, _ := got["class_uid"].(float64)
	whole := shape{required: append(slices.Clone(base.required), classes[class].required...), has: map[string]any{}}
	for _, from := range []shape{base, classes[class]} {
		maps.Copy(whole.has, from.has)
	}
	fits(t, string(rec.Event.Kind), got, whole)
	if activity, _ := got["activity_id"].(float64); got["type_uid"] != class*100+activity ||
		got["category_uid"] != math.Trunc(class/1000) {
		t.Errorf("type %v of class %v, activity %v", got["type_uid"], class, activity)
	}
	if got["raw_data"] != string(line) {
		t.Errorf("raw_data is %v", got["raw_data"])
	}
	return got
}

// TestEveryKindFitsTheSchema: what a real log has in it, of every kind, fits the schema, with its numbers and times.
func TestEveryKindFitsTheSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l, err := audit.Open(t.Context(), audit.Options{Path: path, Keys: audit.Keys{
		Chain: bytes.Repeat([]byte{1}, 32), Sign: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range []audit.Event{
		{ID: "r1", Label: "ci", Token: "tok", Service: "crm", Method: "GET", Host: "api.crm.example", Path: "/a?b=…"},
		{},
		{Workflow: "w"},
		{Method: "BREW", Source: "10.0.0.1:5"},
		{Source: "not an address\x00"},
	} {
		if err := l.Authorise(t.Context(), &ev); err != nil {
			t.Fatal(err)
		}
		l.Complete(&audit.Event{ID: ev.ID, Status: 200, Secrets: []string{"crm@1"}, Upstream: time.Second})
		l.Refuse(&audit.Event{Code: "token_missing", Status: 407, Blame: "caller", Detail: "no token"})
	}
	for _, action := range []string{"secret.set", "token.revoke", "token.issue", "config.reload", ""} {
		if err := l.Admin(t.Context(), &audit.Event{Actor: "ann", Action: action, Subject: "openai"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for at := (audit.Mark{}); ; {
		run, err := audit.ReadAfter(path, at, audit.Bound{Upto: math.MaxInt, Records: 100, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if len(run.Lines) == 0 {
			break
		}
		for _, line := range run.Lines {
			got := event(t, line.Text)
			meta := got["metadata"].(map[string]any)
			if meta["sequence"] != float64(line.Seq) || got["time"] != float64(line.Time.UnixMilli()) {
				t.Errorf("record %d has sequence %v and time %v", line.Seq, meta["sequence"], got["time"])
			}
			kinds[meta["event_code"].(string)] = true
		}
		at = run.At
	}
	for _, kind := range []audit.Kind{
		audit.KindAuthorised, audit.KindCompleted, audit.KindRefused, audit.KindAdmin, audit.KindOpened,
		audit.KindCheckpoint, audit.KindClosed, audit.KindContinued,
	} {
		if !kinds[string(kind)] {
			t.Errorf("no record of kind %s was looked at", kind)
		}
	}
}

// TestEncode: what a use says is where the schema has it.
func TestEncode(t *testing.T) {
	got := event(t, []byte(`{"seq":7,"time":"2026-01-02T03:04:05.000006Z","event":"completed","id":"r1","token":"tok",`+
		`"label":"ci","service":"crm","method":"POST","host":"api.crm.example","path":"/v1/x?q=[redacted]",`+
		`"source":"10.0.0.9:4711","workflow":"wf","status":401,"code":"credential_rejected","blame":"credential",`+
		`"upstream_us":1500000,"secrets":["crm@3"],"mac":"m"}`))
	for path, want := range map[string]any{
		"class_uid": 6003.0, "activity_id": 1.0, "status_id": 2.0, "severity_id": 3.0, "time": 1767323045000.0,
		"duration": 1500.0, "status_code": "credential_rejected", "metadata.uid": "log1/7",
		"metadata.version": "1.3.0", "metadata.correlation_uid": "r1", "actor.user.name": "ci",
		"actor.user.uid": "tok", "actor.app_name": "wf", "api.service.name": "crm", "api.request.uid": "r1",
		"src_endpoint.ip": "10.0.0.9", "dst_endpoint.hostname": "api.crm.example",
		"http_request.url.path": "/v1/x", "http_request.url.query_string": "q=[redacted]",
		"http_response.code": 401.0, "unmapped.blame": "credential",
	} {
		v := any(got)
		for name := range strings.SplitSeq(path, ".") {
			object, _ := v.(map[string]any)
			v = object[name]
		}
		if v != want {
			t.Errorf("%s is %v, want %v", path, v, want)
		}
	}
}
