// Package fault is the closed taxonomy of everything that can go wrong between a caller and an API, and whose fault it
// is.
//
// One table (table.go) gives each code its HTTP status, its RFC 9209 error type, the party to blame, the process exit
// code and the sentence for docs/errors.md. The response, the audit record, the metric label and the exit code are all
// read from it, so they cannot disagree. The package imports the standard library only.
//
// Invariant: no text in a Fault ever comes from a secret, a token or a message body.
package fault

import (
	"errors"
	"time"
)

// Fault is an error of the taxonomy. Message is one sentence for a person (n8n's UI shows it); Details is a short
// machine-oriented addition for Proxy-Status; Hint says what to do.
type Fault struct {
	Code       Code
	Message    string
	Details    string
	Hint       string
	RetryAfter time.Duration
	inSlot     bool
	cause      error
}

// New returns a Fault with the hint and Retry-After that the table gives its code.
func New(code Code, message string) *Fault {
	row := Lookup(code)
	return &Fault{Code: code, Message: message, Hint: row.Hint, RetryAfter: row.RetryAfter}
}

// WithHint replaces the hint of the table by a nearer one.
func (f *Fault) WithHint(hint string) *Fault { f.Hint = hint; return f }

// WithDetails sets what Proxy-Status carries as "details".
func (f *Fault) WithDetails(details string) *Fault { f.Details = details; return f }

// WithRetryAfter says when waiting will have helped.
func (f *Fault) WithRetryAfter(d time.Duration) *Fault { f.RetryAfter = d; return f }

// InSlot says that a credential stood where the API's own key goes: the caller is a client of the API, and is told in
// its words.
func (f *Fault) InSlot() *Fault { f.inSlot = true; return f }

// Status is the HTTP status of Sallyport's own response.
func (f *Fault) Status() int {
	if f.inSlot {
		return f.Row().SlotStatus()
	}
	return f.Row().Status
}

// Wrap keeps the cause for logs and errors.Is. Its text is not part of Error: causes may quote what an outsider sent.
func (f *Fault) Wrap(cause error) *Fault { f.cause = cause; return f }

// Error is the code and the message.
func (f *Fault) Error() string { return string(f.Code) + ": " + f.Message }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.cause }

// Row is the line of the table that the fault's code names.
func (f *Fault) Row() Row { return Lookup(f.Code) }

// From returns the Fault inside err, or an Internal one around it.
func From(err error) *Fault {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return New(Internal, "something inside Sallyport went wrong; its log has the cause under this request id").Wrap(err)
}
