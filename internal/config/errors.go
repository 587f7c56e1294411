package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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

// report collects the errors and warnings of a load.
type report struct {
	errs     Errors
	warns    Warnings
	broken   map[string]bool // keys at or below which an error stands
	unparsed bool            // a file could not be read at all: what it would have held is unknown
}

func newReport() *report { return &report{broken: map[string]bool{}} }

func (r *report) fail(at position, message, hint string) {
	if len(r.errs) < maxErrors {
		r.errs = append(r.errs, &Error{File: at.file, Line: at.line, Column: at.col, Message: message, Hint: hint})
	}
}

func (r *report) warn(at position, message, hint string) {
	if len(r.warns) < maxErrors {
		r.warns = append(r.warns, &Error{File: at.file, Line: at.line, Column: at.col, Message: message, Hint: hint})
	}
}

// add takes over what another report has.
func (r *report) add(other *report) {
	r.errs = append(r.errs, other.errs[:min(len(other.errs), maxErrors-len(r.errs))]...)
	r.warns = append(r.warns, other.warns[:min(len(other.warns), maxErrors-len(r.warns))]...)
	maps.Copy(r.broken, other.broken)
	r.unparsed = r.unparsed || other.unparsed
}

func (r *report) finish() (Warnings, error) {
	sortErrors(r.warns)
	if len(r.errs) == 0 {
		return r.warns, nil
	}
	sortErrors(r.errs)
	return r.warns, r.errs
}

// position is where a value stands: in a file, or, with from set, elsewhere ("default", "preset openai", "--data
// flag").
type position struct {
	file      string
	line, col int
	from      string
}

func (p position) String() string {
	if p.from != "" {
		return p.from
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}
