package logs_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/n8n/logs"
)

// TestParse is lines as n8n writes them, and others that look like them.
func TestParse(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, line string
		want       logs.Line
	}{
		{
			"undecryptable",
			`{"level":"error","message":"Credentials could not be decrypted. The likely reason is that a different ` +
				`\"encryptionKey\" was used to encrypt the data.","metadata":{"file":"error-reporter.js","function":` +
				`"defaultReport","id":"1ekr","name":"QH","timestamp":"2026-11-29T12:00:00.000Z","type":"httpHeaderAuth"}}`,
			logs.Line{
				JSON: true, Level: "error", Problem: logs.CredentialUndecryptable, Time: at,
				Message: `Credentials could not be decrypted. The likely reason is that a different "encryptionKey" was ` +
					`used to encrypt the data.`,
				CredentialID: "1ekr", CredentialName: "QH", CredentialType: "httpHeaderAuth",
			},
		},
		{
			"missing",
			`{"level":"error","message":"Credential with ID \"gone\" does not exist for type \"httpHeaderAuth\".",` +
				`"metadata":{"file":"error-reporter.js"}}`,
			logs.Line{
				JSON: true, Level: "error", Problem: logs.CredentialMissing, CredentialID: "gone",
				CredentialType: "httpHeaderAuth",
				Message:        `Credential with ID "gone" does not exist for type "httpHeaderAuth".`,
			},
		},
		{
			"finished",
			`{"level":"info","message":"Worker finished execution 1 (job 1)","metadata":{"executionId":"1","success":` +
				`false,"workflowId":"w","workflowName":"orders"}}`,
			logs.Line{
				JSON: true, Level: "info", Message: "Worker finished execution 1 (job 1)", Execution: "1",
				WorkflowID: "w", Workflow: "orders", Finished: true,
			},
		},
		{
			"text", "\x1b[31mError: Mismatching encryption keys. The encryption key in the settings file " +
				"/home/node/.n8n/config does not match\x1b[39m",
			logs.Line{
				Problem: logs.KeyMismatch,
				Message: "Error: Mismatching encryption keys. The encryption key in the settings file " +
					"/home/node/.n8n/config does not match",
			},
		},
		{
			"stamped text", "2026-11-29T12:00:00.000Z | error    | Deployment key 'signing.hmac' cannot be read with " +
				"this instance encryption key",
			logs.Line{
				Level: "error", Problem: logs.KeyMismatch, Time: at,
				Message: "Deployment key 'signing.hmac' cannot be read with this instance encryption key",
			},
		},
		{
			"worker without a key", "Error: Failed to start worker because of missing encryption key. Please set",
			logs.Line{
				Problem: logs.KeyMissing,
				Message: "Error: Failed to start worker because of missing encryption key. Please set",
			},
		},
		{"other", `{"level":"error","message":"boom"}`, logs.Line{
			JSON: true, Level: "error", Message: "boom", Problem: logs.OtherError,
		}},
		{"of other types", `{"level":7,"message":["x"],"metadata":{"success":"yes","id":{}}}`, logs.Line{JSON: true, Level: "7"}},
		{"metadata is none", `{"level":"error","metadata":"x"}`, logs.Line{Message: `{"level":"error","metadata":"x"}`}},
		{"no such code", "ERR_CRED_NOT_FOUND", logs.Line{Message: "ERR_CRED_NOT_FOUND"}},
		{"another's words", "Credential with ID is fine", logs.Line{Message: "Credential with ID is fine"}},
		{"cut JSON", `{"level":"error","message":"Credentials could not be decr`, logs.Line{
			Message: `{"level":"error","message":"Credentials could not be decr`,
		}},
		{"empty", " \t", logs.Line{}},
	} {
		if diff := cmp.Diff(c.want, logs.Parse([]byte(c.line))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestRecorded is what a real n8n 2.41.1 has written, as JSON and as text, with another key than its database's,
// and with another than its settings file's. n8n writes some of them more than once.
func TestRecorded(t *testing.T) {
	log, err := os.ReadFile("testdata/n8n-2.41.1.log")
	if err != nil {
		t.Fatal(err)
	}
	got := map[logs.Problem]int{}
	for line := range bytes.Lines(log) {
		got[logs.Parse(line).Problem]++
	}
	delete(got, "")
	want := map[logs.Problem]int{logs.CredentialUndecryptable: 5, logs.KeyMismatch: 2, logs.OtherError: 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse: whatever a line holds, what is kept of it is short, valid text on one line.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"level":"error","message":"Credential with ID \"x\" does not exist for type \"y\"","metadata":{"id":1}}`))
	f.Add([]byte("\xff\xfe\x1b]0;title\a Credentials could not be decrypted."))
	f.Add(bytes.Repeat([]byte(`{"message":`), 100_000))
	f.Add([]byte(`{"message":"` + strings.Repeat("\u202e", 5000) + `","metadata":{"name":"` + strings.Repeat("é", 9000) + `"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		l := logs.Parse(line)
		for _, s := range []string{
			l.Level, l.Message, l.CredentialID, l.CredentialName, l.CredentialType, l.Execution,
			l.WorkflowID, l.Workflow,
		} {
			if utf8.RuneCountInString(s) > 301 || !utf8.ValidString(s) || strings.Contains(s, "\n") {
				t.Fatalf("%q of %.200q", s, line)
			}
		}
	})
}
