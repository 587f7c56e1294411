package s3_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/audit/sink"
	"sallyport/internal/audit/sink/s3"
	"sallyport/internal/audit/sink/sinktest"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

const (
	id  = "AKIATESTTESTTESTTEST"
	key = "canary-secret-key-77aa"
)

func TestKind(t *testing.T) { sinktest.Kind(t, s3.Kind()) }

func host() sink.Host {
	return sink.Host{Version: "1.2.3", Secret: func(_ context.Context, ref secret.Ref) (secret.Value, error) {
		return secret.NewValue([]byte(map[string]string{"id": id, "key": key}[ref.Field])), nil
	}}
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=(\S+)/(\d{8})/eu-test-1/s3/aws4_request, ` +
	`SignedHeaders=(\S+), Signature=([0-9a-f]{64})$`)

// verify makes the signature again, from the specification and with nothing of the product (AWS Signature Version 4,
// "Create a signed AWS API request").
func verify(r *http.Request, body []byte) error {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil || m[1] != id {
		return fmt.Errorf("authorization %q", r.Header.Get("Authorization"))
	}
	sum := sha256.Sum256(body)
	if r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]) {
		return errors.New("the hash of the body is another")
	}
	names := strings.Split(m[3], ";")
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		canonical += name + ":" + strings.TrimSpace(value) + "\n"
	}
	canonical += "\n" + m[3] + "\n" + hex.EncodeToString(sum[:])
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !slices.Contains(names, lower) {
			return fmt.Errorf("the header %s is not signed", name)
		}
	}
	hash := sha256.Sum256([]byte(canonical))
	text := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + m[2] + "/eu-test-1/s3/aws4_request\n" +
		hex.EncodeToString(hash[:])
	mac := []byte("AWS4" + key)
	for _, part := range []string{m[2], "eu-test-1", "s3", "aws4_request", text} {
		h := hmac.New(sha256.New, mac)
		h.Write([]byte(part))
		mac = h.Sum(nil)
	}
	if hex.EncodeToString(mac) != m[4] {
		return errors.New("the signature does not match")
	}
	return nil
}

// fake is a bucket with object lock.
type fake struct {
	*sinktest.HTTP

	mu      sync.Mutex
	locks   map[string]http.Header
	deaf    bool // takes locks, and does nothing
	last    string
	request *http.Request
}

func newFake() *fake {
	f := &fake{locks: map[string]http.Header{}}
	f.HTTP = &sinktest.HTTP{Read: f.read}
	f.Done = func(w http.ResponseWriter) {
		f.mu.Lock()
		defer f.mu.Unlock()
		w.Header().Set("Etag", `"1"`)
		if f.request.Method == http.MethodHead && !f.deaf {
			maps.Copy(w.Header(), f.locks[f.request.URL.Path])
		}
	}
	f.Failed = func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) } // without an ETag: not S3 at all
	return f
}

var objectName = regexp.MustCompile(`^/audit/gate1/log1/(records|checkpoints)-\d{12}-\d{12}\.jsonl$`)

func (f *fake) read(r *http.Request, body []byte) (taken []sinktest.Taken, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.request = r
	if err := verify(r, body); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(r.URL.Path, "/audit/gate1/") {
		return nil, fmt.Errorf("the object is %s", r.URL.Path)
	}
	if r.Method == http.MethodHead {
		return nil, nil
	}
	f.last = r.URL.Path
	sum := sha256.Sum256(body)
	until, failed := time.Parse(time.RFC3339, r.Header.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if r.Method != http.MethodPut || r.Header.Get("X-Amz-Object-Lock-Mode") != "COMPLIANCE" || failed != nil ||
		time.Until(until) < 399*24*time.Hour ||
		r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%s with %v", r.Method, r.Header)
	}
	f.locks[r.URL.Path] = http.Header{
		"X-Amz-Object-Lock-Mode":              {"COMPLIANCE"},
		"X-Amz-Object-Lock-Retain-Until-Date": {until.Format("2006-01-02T15:04:05.000Z07:00")},
	}
	for line := range strings.Lines(string(body)) {
		one := sinktest.Taken{Seq: len(taken) + 1, Text: strings.TrimSuffix(line, "\n")}
		var rec struct{ Seq int }
		if json.Unmarshal([]byte(line), &rec) == nil && rec.Seq > 0 {
			one.Seq = rec.Seq
		}
		taken = append(taken, one)
	}
	return taken, nil
}

func (f *fake) open(t *testing.T, base, ca string) sink.Sink {
	t.Helper()
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	s := &s3.Settings{
		Bucket: "audit", Region: "eu-test-1", Endpoint: to, Prefix: "gate1/", CAFile: ca,
		AccessKey: secret.Ref{Store: "builtin", Path: "s3", Field: "id"},
		SecretKey: secret.Ref{Store: "builtin", Path: "s3", Field: "key"},
		Lock:      &s3.Lock{Mode: "compliance", For: 400 * 24 * time.Hour, Check: true},
	}
	opened, err := s.Open(t.Context(), host())
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) *sinktest.World {
		f := newFake()
		base, ca := f.Serve(t)
		return &sinktest.World{
			Receiver: f.Receiver, Stop: f.Stop, Start: f.Start, Secret: key,
			Without: []sinktest.Mode{sinktest.TooLarge},
			Open:    func(t *testing.T) sink.Sink { return f.open(t, base, ca) },
		}
	})
}

// TestLock: an object that the store has taken and not locked counts as none.
func TestLock(t *testing.T) {
	f := newFake()
	base, ca := f.Serve(t)
	s := f.open(t, base, ca)
	batch := []sink.Item{
		{Seq: 7, Log: "log1", Text: []byte(`{"checkpoint":7}`)}, {Seq: 9, Log: "log1", Text: []byte(`{"checkpoint":9}`)},
	}
	f.deaf = true
	if err := s.Ship(t.Context(), batch); err == nil || !strings.Contains(err.Error(), "has not locked it") {
		t.Errorf("got %v", err)
	}
	f.deaf = false
	if err := s.Ship(t.Context(), batch); err != nil {
		t.Error(err)
	}
	if f.last != "/audit/gate1/log1/checkpoints-000000000007-000000000009.jsonl" {
		t.Errorf("the object is %s", f.last)
	}
	batch[0].Event.Kind = audit.KindAdmin
	batch[0].Log = "../other log"
	if err := s.Ship(t.Context(), batch); err != nil || strings.Contains(f.last, "other log") {
		t.Errorf("%v, the object is %s", err, f.last)
	}
	if objectName.MatchString(f.last) {
		t.Errorf("the object of another log is %s", f.last)
	}
}

// TestErrors: what S3 says is told with what to do, and nothing of it is quoted but its code.
func TestErrors(t *testing.T) {
	for code, hint := range map[string]string{
		"InvalidRequest": "object lock", "NoSuchBucket": "make the bucket", "AccessDenied": "s3:PutObject",
		"RequestTimeTooSkewed": "clock", "PermanentRedirect": "region",
	} {
		t.Run(code, func(t *testing.T) {
			f := newFake()
			f.Done = func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>text of another</Message></Error>", code)
			}
			base, ca := f.Serve(t)
			err := f.open(t, base, ca).Ship(t.Context(), []sink.Item{{Seq: 1, Log: "log1", Text: []byte("{}")}})
			if err == nil || !strings.Contains(err.Error(), code) || !strings.Contains(fault.HintOf(err), hint) ||
				strings.Contains(err.Error(), "of another") {
				t.Errorf("got %v, hint %q", err, fault.HintOf(err))
			}
		})
	}
}
