// Package logs reads lines of n8n's log: what n8n says of credentials, of its master key and of executions.
//
// It knows the messages of n8n 1.x and 2.x as they are written, as JSON (N8N_LOG_FORMAT=json) and as text. There is no
// code in them, such as ERR_CRED_NOT_FOUND: the words are all that there is, and they stand in the table below.
//
// A line is an outsider's text. Where CODE_ENABLE_STDOUT is set, whoever writes a workflow writes lines, too: so what
// is read here is counted, and decides nothing.
package logs

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"sallyport/internal/nesting"
)

// Problem is what a line is about. The values are a metric's label.
type Problem string

// The problems.
const (
	CredentialUndecryptable Problem = "credential_undecryptable" // under another key than the node has
	CredentialMissing       Problem = "credential_missing"       // a workflow names one that is gone
	KeyMismatch             Problem = "key_mismatch"             // the node does not start, or says so at its start
	KeyMissing              Problem = "key_missing"              // a worker has none, and does not start
	WebhookFailed           Problem = "webhook_failed"           // an execution failed before it responded
	OtherError              Problem = "error"                    // any other line of the level error
)

// Problems are all there are.
func Problems() []Problem {
	return []Problem{
		CredentialUndecryptable, CredentialMissing, KeyMismatch, KeyMissing, WebhookFailed, OtherError,
	}
}

// phrases are what messages hold, by problem, with the place in n8n that writes them.
var phrases = []struct {
	text    string
	problem Problem
}{
	// n8n-core/dist/constants.js, CREDENTIAL_ERRORS.DECRYPTION_FAILED
	{"Credentials could not be decrypted.", CredentialUndecryptable},
	// n8n/dist/errors/credential-not-found.error.js
	{"Credential with ID ", CredentialMissing},
	// n8n-core/dist/instance-settings/instance-settings.js
	{"Mismatching encryption keys.", KeyMismatch},
	// n8n/dist/deployment-key: n8n 2.39 and newer
	{"cannot be read with this instance encryption key", KeyMismatch},
	{"Could not read the instance identity from the DB", KeyMismatch},
	// n8n/dist/commands/worker.js
	{"Failed to start worker because of missing encryption key.", KeyMissing},
	{"Webhook execution failed before a response was sent", WebhookFailed},
}

const (
	searched = 512 // bytes of a message in which a phrase is looked for
	maxText  = 300 // characters of a message that are kept
	maxName  = 128 // characters of a name or id
)

// Line is what a line of the log says.
type Line struct {
	JSON    bool
	Level   string
	Problem Problem // "" for none
	Message string  // cut
	Time    time.Time

	CredentialID, CredentialName, CredentialType string
	Execution, WorkflowID, Workflow              string
	// Finished tells that a worker has finished an execution, and Success how
	Finished, Success bool
}

// entry is a line in JSON. Whatever is not of the type that n8n writes is left out.
type entry struct {
	Level    any `json:"level"`
	Message  any `json:"message"`
	Metadata struct {
		Timestamp    any `json:"timestamp"`
		ID           any `json:"id"`
		Name         any `json:"name"`
		Type         any `json:"type"`
		Execution    any `json:"executionId"`
		WorkflowID   any `json:"workflowId"`
		WorkflowName any `json:"workflowName"`
		Success      any `json:"success"`
	} `json:"metadata"`
}

// Parse reads a line without its end. It takes any bytes.
func Parse(line []byte) Line {
	line = bytes.TrimSpace(line)
	var e entry
	if len(line) > 0 && line[0] == '{' && nesting.Check(line) == nil && json.Unmarshal(line, &e) == nil {
		return ofJSON(&e)
	}
	return ofText(string(line))
}

func ofJSON(e *entry) Line {
	m := &e.Metadata
	l := Line{JSON: true, Level: cut(text(e.Level), 16), Execution: cut(text(m.Execution), maxName)}
	message := text(e.Message)
	l.WorkflowID, l.Workflow = cut(text(m.WorkflowID), maxName), cut(text(m.WorkflowName), maxName)
	if at, err := time.Parse(time.RFC3339, text(m.Timestamp)); err == nil {
		l.Time = at
	}
	l.Message, l.Problem = cut(message, maxText), problemOf(message, l.Level == "error")
	if l.Level == "info" || l.Level == "debug" {
		l.Problem = "" // such as an execution's data, which quotes its error
	}
	switch l.Problem {
	case CredentialUndecryptable:
		l.CredentialID, l.CredentialName = cut(text(m.ID), maxName), cut(text(m.Name), maxName)
		l.CredentialType = cut(text(m.Type), maxName)
	case CredentialMissing:
		l.missing(message)
	default:
	}
	if success, told := m.Success.(bool); told && strings.HasPrefix(message, "Worker finished execution") {
		l.Finished, l.Success = true, success
	}
	return l
}

// ansi are the escapes with which n8n colours its text.
var ansi = regexp.MustCompile("\x1b\\[[0-9;]*m")

// stamped is what a line of text begins with where n8n writes more than the message, as in
// "2026-11-29T12:00:00.000Z | error | ".
var stamped = regexp.MustCompile(`^([0-9TZ:. -]+) *\| *(error|warn|info|debug) *\| *`)

func ofText(line string) Line {
	line = ansi.ReplaceAllString(line, "")
	l := Line{}
	if m := stamped.FindStringSubmatch(line); m != nil {
		l.Level, line = m[2], line[len(m[0]):]
		if at, err := time.Parse(time.RFC3339, strings.TrimSpace(m[1])); err == nil {
			l.Time = at
		}
	}
	l.Message, l.Problem = cut(line, maxText), problemOf(line, l.Level == "error")
	if l.Problem == CredentialMissing {
		l.missing(line)
	}
	return l
}

// notFound is n8n's sentence about a credential that a workflow names, and that is gone.
var notFound = regexp.MustCompile(`Credential with ID "([^"]{1,200})" does not exist for type "([^"]{1,200})"`)

func (l *Line) missing(message string) {
	if m := notFound.FindStringSubmatch(message[:min(len(message), 2*searched)]); m != nil {
		l.CredentialID, l.CredentialType = cut(m[1], maxName), cut(m[2], maxName)
	}
}

func problemOf(message string, failed bool) Problem {
	head := message[:min(len(message), searched)]
	if strings.Contains(head, "throw new ") {
		return "" // node shows the line of n8n's source beside the error that it throws
	}
	for _, p := range phrases {
		if !strings.Contains(head, p.text) {
			continue
		}
		if p.problem == CredentialMissing && !strings.Contains(head, " does not exist for type ") {
			continue
		}
		return p.problem
	}
	if failed {
		return OtherError
	}
	return ""
}

// text is a string or a number as JSON has it, else "".
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		b, err := json.Marshal(v)
		if err == nil {
			return string(b)
		}
	}
	return ""
}

// cut keeps so many characters of the first line of a text, as UTF-8.
func cut(s string, most int) string {
	s, _, _ = strings.Cut(s, "\n")
	s = strings.ToValidUTF8(s[:min(len(s), utf8.UTFMax*most)], "\uFFFD")
	for i := range s {
		if most == 0 {
			return s[:i] + "…"
		}
		most--
	}
	return s
}
