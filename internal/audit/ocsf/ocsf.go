// Package ocsf says audit records in the words of the Open Cybersecurity Schema Framework, so that a SIEM that knows
// the schema needs no rules of its own for them. It is a pure function: the record is the truth, and stands whole in
// raw_data, where its MAC can still be checked.
//
// Requests and changes are events of class API Activity (6003), what the log says of itself of Application Lifecycle
// (6002). What the schema has no attribute for is in unmapped, under the record's own names.
package ocsf

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/audit"
)

// Version is that of the schema, https://schema.ocsf.io/1.3.0.
const Version = "1.3.0"

// Context is what a record does not say of itself.
type Context struct {
	Version string // of Sallyport
	Log     string // id of the log
	Raw     []byte // the record as it stands
}

// The classes, and their category: Application Activity.
const (
	category       = 6
	classLifecycle = 6002
	classAPI       = 6003
)

// activity_id in both classes: what is not one of the schema's.
const otherActivity = 99

// severity_id.
const (
	informational = 1
	low           = 2
	medium        = 3
	high          = 4
)

// status_id.
const (
	succeeded = 1
	failed    = 2
)

type event struct {
	ActivityID   int            `json:"activity_id"`
	ActivityName string         `json:"activity_name"`
	CategoryUID  int            `json:"category_uid"`
	CategoryName string         `json:"category_name"`
	ClassUID     int            `json:"class_uid"`
	ClassName    string         `json:"class_name"`
	TypeUID      int            `json:"type_uid"`
	Time         int64          `json:"time"` // milliseconds since 1970
	SeverityID   int            `json:"severity_id"`
	Severity     string         `json:"severity"`
	StatusID     int            `json:"status_id,omitempty"`
	Status       string         `json:"status,omitempty"`
	StatusCode   string         `json:"status_code,omitempty"`
	StatusDetail string         `json:"status_detail,omitempty"`
	Message      string         `json:"message,omitempty"`
	Duration     int64          `json:"duration,omitempty"` // milliseconds
	Metadata     metadata       `json:"metadata"`
	App          *product       `json:"app,omitempty"`
	Actor        *actor         `json:"actor,omitempty"`
	API          *api           `json:"api,omitempty"`
	Src          *endpoint      `json:"src_endpoint,omitempty"`
	Dst          *endpoint      `json:"dst_endpoint,omitempty"`
	Request      *httpRequest   `json:"http_request,omitempty"`
	Response     *httpResponse  `json:"http_response,omitempty"`
	Resources    []resource     `json:"resources,omitempty"`
	Unmapped     map[string]any `json:"unmapped,omitempty"`
	RawData      string         `json:"raw_data,omitempty"`
}

type product struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
	Version    string `json:"version,omitempty"`
}

type metadata struct {
	Version        string  `json:"version"`
	Product        product `json:"product"`
	UID            string  `json:"uid"`
	Sequence       int     `json:"sequence"`
	EventCode      string  `json:"event_code"`
	LogName        string  `json:"log_name,omitempty"`
	OriginalTime   string  `json:"original_time"`
	CorrelationUID string  `json:"correlation_uid,omitempty"`
}

type actor struct {
	User    *user  `json:"user,omitempty"`
	AppName string `json:"app_name,omitempty"`
}

type user struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
}

type api struct {
	Operation string       `json:"operation"`
	Request   *apiRequest  `json:"request,omitempty"`
	Response  *apiResponse `json:"response,omitempty"`
	Service   *service     `json:"service,omitempty"`
}

type apiRequest struct {
	UID string `json:"uid"`
}

type apiResponse struct {
	Code         int    `json:"code,omitempty"`
	Error        string `json:"error,omitempty"`
	ErrorMessage string `json:"error_message,omitempty"`
}

type service struct {
	Name string `json:"name"`
}

type endpoint struct {
	IP       string `json:"ip,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	Name     string `json:"name,omitempty"`
	SvcName  string `json:"svc_name,omitempty"`
}

type httpRequest struct {
	Method string `json:"http_method,omitempty"`
	URL    *url   `json:"url,omitempty"`
	UID    string `json:"uid,omitempty"`
}

type url struct {
	Hostname string `json:"hostname,omitempty"`
	Path     string `json:"path,omitempty"`
	Query    string `json:"query_string,omitempty"`
}

type httpResponse struct {
	Code int `json:"code"`
}

type resource struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
}

// Encode returns the event of a record, one line of JSON without its end.
func Encode(rec audit.Record, c Context) ([]byte, error) {
	ev := &rec.Event
	us := product{Name: "Sallyport", VendorName: "Sallyport", Version: c.Version}
	out := event{
		CategoryUID: category, CategoryName: "Application Activity", Time: ev.Time.UnixMilli(),
		Message: ev.Detail, RawData: string(c.Raw),
		Metadata: metadata{
			Version: Version, Product: us, UID: fmt.Sprintf("%s/%d", c.Log, rec.Seq), Sequence: rec.Seq,
			EventCode: string(ev.Kind), LogName: c.Log, OriginalTime: ev.Time.UTC().Format(time.RFC3339Nano),
			CorrelationUID: ev.ID,
		},
	}
	switch ev.Kind {
	case audit.KindAuthorised, audit.KindCompleted, audit.KindRefused:
		out.request(ev)
	case audit.KindAdmin:
		out.change(ev)
	default:
		out.lifecycle(rec, us)
	}
	out.ClassName = map[int]string{classAPI: "API Activity", classLifecycle: "Application Lifecycle"}[out.ClassUID]
	out.TypeUID = out.ClassUID*100 + out.ActivityID
	out.Severity = map[int]string{
		informational: "Informational", low: "Low", medium: "Medium", high: "High",
	}[out.SeverityID]
	out.Status = map[int]string{succeeded: "Success", failed: "Failure"}[out.StatusID]
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("writing audit record %d as OCSF: %w", rec.Seq, err)
	}
	return text, nil
}

// request is a use of a credential, or what was refused one.
func (e *event) request(ev *audit.Event) {
	e.ClassUID = classAPI
	e.ActivityID, e.ActivityName = activityOf(ev.Method)
	e.SeverityID, e.StatusID = informational, succeeded
	e.StatusCode, e.StatusDetail = ev.Code, string(ev.Kind)
	if ev.Kind == audit.KindRefused || ev.Code != "" {
		e.StatusID, e.SeverityID = failed, low
	}
	if ev.Blame == "sallyport" || ev.Blame == "credential" {
		e.SeverityID = medium
	}
	e.Duration = (ev.Gate + ev.Upstream).Milliseconds()
	e.Actor = &actor{AppName: ev.Workflow}
	if ev.Label != "" || ev.Token != "" || ev.Workflow == "" {
		e.Actor.User = &user{Name: orUnknown(ev.Label), UID: ev.Token}
	}
	e.API = &api{Operation: orUnknown(ev.Method)}
	if ev.ID != "" {
		e.API.Request = &apiRequest{UID: ev.ID}
	}
	if ev.Service != "" {
		e.API.Service = &service{Name: ev.Service}
	}
	if ev.Status != 0 || ev.Code != "" {
		e.API.Response = &apiResponse{Code: ev.Status, Error: ev.Code, ErrorMessage: ev.Detail}
	}
	e.Src = source(ev.Source)
	if ev.Host != "" || ev.Service != "" {
		e.Dst = &endpoint{Hostname: ev.Host, SvcName: ev.Service}
	}
	path, query, _ := strings.Cut(ev.Path, "?")
	if ev.Method != "" || ev.Path != "" {
		e.Request = &httpRequest{Method: ev.Method, UID: ev.ID, URL: &url{ev.Host, path, query}}
	}
	if ev.Status != 0 {
		e.Response = &httpResponse{Code: ev.Status}
	}
	for _, name := range ev.Secrets {
		e.Resources = append(e.Resources, resource{Name: name, Type: "secret"})
	}
	e.rest(map[string]any{
		"trace_id": ev.Trace,

		"generation": ev.Generation, "execution": ev.Execution, "node": ev.Node, "rule": ev.Rule, "blame": ev.Blame,
		"bytes_in": ev.BytesIn, "bytes_out": ev.BytesOut, "gate_us": ev.Gate.Microseconds(),
		"upstream_us": ev.Upstream.Microseconds(), "scrubbed": ev.Scrubbed, "suppressed": ev.Suppressed,
	})
}

// change is what a person, a schedule or the gate did.
func (e *event) change(ev *audit.Event) {
	e.ClassUID, e.SeverityID, e.StatusID = classAPI, informational, succeeded
	e.ActivityID, e.ActivityName = otherActivity, orUnknown(ev.Action)
	for suffix, id := range map[string]int{
		".set": 3, ".rotate": 3, ".rollback": 3, ".issue": 1, ".import": 1, ".delete": 4, ".revoke": 4,
	} {
		if strings.HasSuffix(ev.Action, suffix) {
			e.ActivityID, e.ActivityName = id, []string{1: "Create", 3: "Update", 4: "Delete"}[id]
		}
	}
	e.Actor = &actor{User: &user{Name: orUnknown(ev.Actor)}}
	e.API = &api{Operation: orUnknown(ev.Action), Service: &service{Name: "Sallyport"}}
	e.Src = source(ev.Source)
	if ev.Subject != "" {
		kind, _, _ := strings.Cut(ev.Action, ".")
		e.Resources = []resource{{Name: ev.Subject, Type: kind}}
	}
}

// lifecycle is what the log says of itself.
func (e *event) lifecycle(rec audit.Record, us product) {
	e.ClassUID, e.SeverityID, e.App = classLifecycle, informational, &us
	e.ActivityID, e.ActivityName = otherActivity, string(rec.Event.Kind)
	switch rec.Event.Kind { //nolint:exhaustive // the others are as above
	case audit.KindOpened:
		e.ActivityID, e.ActivityName = 3, "Start"
	case audit.KindClosed:
		e.ActivityID, e.ActivityName = 4, "Stop"
	case audit.KindRecovered:
		e.SeverityID = high // something of the log was lost
	}
	e.rest(map[string]any{"removed": rec.Removed.To, "file": rec.File, "offset": rec.Offset})
}

// rest puts what is not empty under unmapped.
func (e *event) rest(values map[string]any) {
	for name, v := range values {
		switch v {
		case "", 0, int64(0):
			continue
		}
		if e.Unmapped == nil {
			e.Unmapped = make(map[string]any)
		}
		e.Unmapped[name] = v
	}
}

// activityOf is what a method does, as HTTP means it (RFC 9110, section 9.3).
func activityOf(method string) (id int, name string) {
	switch method {
	case "POST":
		return 1, "Create"
	case "GET", "HEAD", "OPTIONS", "QUERY":
		return 2, "Read"
	case "PUT", "PATCH":
		return 3, "Update"
	case "DELETE":
		return 4, "Delete"
	case "":
		return 0, "Unknown"
	}
	return otherActivity, method
}

// source is an address, with or without its port.
func source(text string) *endpoint {
	host := text
	if h, _, err := net.SplitHostPort(text); err == nil {
		host = h
	}
	if at, err := netip.ParseAddr(host); err == nil {
		return &endpoint{IP: at.String()}
	}
	return &endpoint{Name: orUnknown(host)}
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}
