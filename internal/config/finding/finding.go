// Package finding is what a load has to say of a configuration: errors and warnings, each with its place and with what
// to do about it.
//
// Invariant: a message quotes a value only where it cannot be a secret, which is up to whoever writes it.
package finding

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport/internal/config/place"
)

// Error is one thing that is wrong, and where. Message quotes a value only where it cannot be a secret.
type Error struct {
	File    string
	Line    int // from 1; 0: the whole file, or no file at all
	Column  int // from 1, in characters
	Message string
	Hint    string // what to do
}

// Error is FILE:LINE:COLUMN: message: hint.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(": " + e.Hint)
	}
	return b.String()
}

// Errors is everything that is wrong with a configuration, by file and line. It is never empty when it is an error.
type Errors []*Error

// Error is one line per error.
func (e Errors) Error() string { return joinLines(e) }

// Unwrap gives errors.As the single ones.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i := range e {
		out[i] = e[i]
	}
	return out
}

// Warnings is what works and should not stay, by file and line.
type Warnings []*Error

// String is one line per warning.
func (w Warnings) String() string { return joinLines(w) }

func joinLines(list []*Error) string {
	lines := make([]string, len(list))
	for i, e := range list {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

func sortErrors(list []*Error) {
	slices.SortStableFunc(list, func(a, b *Error) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// maxErrors bounds what a hopeless file can say.
const maxErrors = 200

// Report collects the errors and warnings of a load.
type Report struct {
	Errs     Errors
	Warns    Warnings
	Broken   map[string]bool // keys at or below which an error stands
	Unparsed bool            // a file could not be read at all: what it would have held is unknown
}

// NewReport returns an empty report.
func NewReport() *Report { return &Report{Broken: map[string]bool{}} }

// Fail reports an error.
func (r *Report) Fail(at place.Position, message, hint string) {
	if len(r.Errs) < maxErrors {
		r.Errs = append(r.Errs, &Error{File: at.File, Line: at.Line, Column: at.Col, Message: message, Hint: hint})
	}
}

// Warn reports what works and should not stay.
func (r *Report) Warn(at place.Position, message, hint string) {
	if len(r.Warns) < maxErrors {
		r.Warns = append(r.Warns, &Error{File: at.File, Line: at.Line, Column: at.Col, Message: message, Hint: hint})
	}
}

// Add takes over what another report has.
func (r *Report) Add(other *Report) {
	r.Errs = append(r.Errs, other.Errs[:min(len(other.Errs), maxErrors-len(r.Errs))]...)
	r.Warns = append(r.Warns, other.Warns[:min(len(other.Warns), maxErrors-len(r.Warns))]...)
	maps.Copy(r.Broken, other.Broken)
	r.Unparsed = r.Unparsed || other.Unparsed
}

// Finish returns what was collected, sorted; the error is nil, or Errors.
func (r *Report) Finish() (Warnings, error) {
	sortErrors(r.Warns)
	if len(r.Errs) == 0 {
		return r.Warns, nil
	}
	sortErrors(r.Errs)
	return r.Warns, r.Errs
}
