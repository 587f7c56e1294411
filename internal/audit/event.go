package audit

import (
	"strings"
	"time"
)

// Kind is what a record is about.
type Kind string

// The kinds of record. The first four come from callers, the others from the log itself.
const (
	KindAuthorised Kind = "authorised" // a use that is about to happen: written before the credential leaves
	KindCompleted  Kind = "completed"  // how that use ended
	KindRefused    Kind = "refused"    // a request that got no credential
	KindAdmin      Kind = "admin"      // someone changed a secret, a token, the configuration
	KindOpened     Kind = "opened"     // a process began to write; names the log, and how many checkpoints it had
	KindRecovered  Kind = "recovered"  // what Open or a failing disk cost
	KindCheckpoint Kind = "checkpoint" // the record that the next checkpoint signs
	KindClosed     Kind = "closed"     // the process ended in good order
	KindContinued  Kind = "continued"  // the first record of a file that follows another; says where in the log it is
	KindRemoved    Kind = "removed"    // old files are about to be removed, as the configuration says
)

// Bounds of what a record takes from outside, in bytes; what is longer ends in "…".
// Together, and fully escaped, they stay below maxLine.
const (
	maxText    = 200 // names, ids, attribution
	maxHost    = 255
	maxPath    = 2048
	maxDetail  = 1024
	maxSecrets = 16
	maxLine    = 64 << 10
)

// Event is one record as callers know it. Zero fields are left out of the line.
type Event struct {
	Time time.Time // zero: now; written in UTC with microseconds
	Kind Kind      // set by the method that writes it
	ID   string    // request id
	// id of the request's trace, 32 hexadecimal digits, where tracing is on
	Trace string

	Token      string // token id, never the token
	Label      string // the token's name
	Generation int    // the token's generation

	Service string
	Method  string
	Host    string
	Path    string // escaped path; a query only through RedactQuery
	Source  string // client address

	Workflow  string // attribution, as the caller claims it
	Execution string
	Node      string

	Rule    string   // the policy rule that decided
	Secrets []string // name and version, "openai@3"; never values

	Status   int // as sent to the client
	Code     string
	Blame    string
	Detail   string
	BytesIn  int64
	BytesOut int64
	Gate     time.Duration // time spent in Sallyport; written as gate_us
	Upstream time.Duration // time spent waiting for the API; written as upstream_us
	Scrubbed int           // secrets taken out of the response

	Actor   string // admin: the os user, "schedule", or "gate"
	Action  string // admin: "secret.set"
	Subject string // admin: "openai"

	Suppressed int // refusals left out since the last refused record
}

// RedactQuery keeps the names of a raw query and replaces its values. A part without "="
// may be a value itself and is replaced whole.
func RedactQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var b strings.Builder
	for i, part := range strings.Split(raw, "&") {
		if i > 0 {
			b.WriteByte('&')
		}
		name, value, named := strings.Cut(part, "=")
		switch {
		case part == "":
		case !named:
			b.WriteString(redacted)
		case value == "":
			b.WriteString(name + "=")
		default:
			b.WriteString(name + "=" + redacted)
		}
	}
	return b.String()
}

const redacted = "[redacted]"
