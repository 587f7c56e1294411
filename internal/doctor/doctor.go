// Package doctor runs a checklist: every line of it is a Check that looks at the real thing and says what it has seen.
//
// A Check looks through a site.Site, which says where things are; package check has the checks. This package runs them,
// sums them up, and writes reports for people, programs and auditors.
//
// Invariants: a check that could not look is never OK. Nothing that a check has seen is printed before it was made one
// clean line of bounded length. A check that does not return does not keep the others, or the report, from their end.
package doctor

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/doctor/site"
	"sallyport/internal/fault"
)

// Severity says how bad it is when a check fails.
type Severity string

// The severities, the worst first.
const (
	Critical Severity = "critical" // secrets can be read, or lost for good
	High     Severity = "high"     // a barrier is down
	Medium   Severity = "medium"   // it will be missed when something else goes wrong
)

// rank is the place of a severity in a report; unknown ones are last.
func (s Severity) rank() int {
	for i, one := range []Severity{Critical, High, Medium} {
		if s == one {
			return i
		}
	}
	return 3
}

// Status is how a check, or one thing that it has looked at, turned out.
type Status string

// The statuses, the worst first.
const (
	Failed  Status = "failed"
	Warning Status = "warning"
	Unseen  Status = "could not look" // never taken for OK
	OK      Status = "ok"
)

// rank is the place of a status in a report.
func (s Status) rank() int {
	for i, one := range []Status{Failed, Warning, Unseen} {
		if s == one {
			return i
		}
	}
	return 3
}

// Worse is the worse of two statuses.
func Worse(a, b Status) Status {
	if b.rank() < a.rank() {
		return b
	}
	return a
}

// Seen is one thing that a check has looked at.
type Seen struct {
	Subject  string `json:"subject"` // what was looked at: "container n8n-worker-1", "compose.yaml"
	Status   Status `json:"status"`
	Evidence string `json:"evidence"`         // what was seen; never the value of a secret
	Remedy   string `json:"remedy,omitempty"` // what to do
	File     string `json:"file,omitempty"`   // of the subject, where it is one
	Line     int    `json:"line,omitempty"`   // in File, from 1; 0 is none
}

// Good says that a subject is as it should be.
func Good(subject, evidence string) Seen {
	return Seen{Subject: subject, Status: OK, Evidence: evidence}
}

// Bad says that a subject is not as it should be.
func Bad(subject, evidence, remedy string) Seen {
	return Seen{Subject: subject, Status: Failed, Evidence: evidence, Remedy: remedy}
}

// Doubtful says that a subject works, and should not stay as it is.
func Doubtful(subject, evidence, remedy string) Seen {
	return Seen{Subject: subject, Status: Warning, Evidence: evidence, Remedy: remedy}
}

// Dark says that a subject could not be looked at; remedy is how it can be.
func Dark(subject, evidence, remedy string) Seen {
	return Seen{Subject: subject, Status: Unseen, Evidence: evidence, Remedy: remedy}
}

// DarkBy is Dark for an error, with its hint as the remedy.
func DarkBy(subject string, err error) Seen {
	text := err.Error()
	if errors.Is(err, context.DeadlineExceeded) {
		text = "no response in time: " + text
	}
	return Dark(subject, text, fault.HintOf(err))
}

// Check is one line of the checklist. ID, Title, Severity, Asks, Page and Look are always there.
type Check struct {
	ID       string // stable, words with dashes; also the name of its page in docs/doctor
	Title    string // the state that is wanted, as a sentence without its full stop
	Severity Severity
	Asks     string   // what is asked of whom, one sentence, for the report
	Guide    []string // the lines of the guide's checklist that it answers, by their titles; none: it goes beyond them
	Page     string   // Markdown, the page without its head: what is looked at, and what to do

	// Look looks, within ctx, and changes nothing. No results, or an error, mean that it could not look.
	Look func(ctx context.Context, on *site.Site) ([]Seen, error)

	// Fix repairs what is safe to repair of what Look has seen, and says what it did. nil: nothing is.
	Fix func(ctx context.Context, on *site.Site, seen []Seen) (done []string, err error)

	// Timeout bounds Look; 0 is that of the run.
	Timeout time.Duration
}

// Result is what became of a check.
type Result struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Severity Severity  `json:"severity"`
	Status   Status    `json:"status"`
	Asks     string    `json:"asked"`
	Guide    []string  `json:"guide,omitempty"`
	Page     string    `json:"page"` // from the top of the repository
	Began    time.Time `json:"began"`
	Millis   int64     `json:"took_ms"`
	Seen     []Seen    `json:"seen"`           // the worst first
	More     int       `json:"more,omitempty"` // how many more there are than Seen has, none of them worse
	Fixed    []string  `json:"fixed,omitempty"`
}

// Counts are how many checks turned out how.
type Counts struct {
	Failed  int `json:"failed"`
	Warning int `json:"warning"`
	Unseen  int `json:"could_not_look"`
	OK      int `json:"ok"`
}

// Report is one run of the checklist.
type Report struct {
	Version string    `json:"version"` // of Sallyport
	Host    string    `json:"host"`    // where it ran
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Counts  Counts    `json:"counts"`
	Results []Result  `json:"checks"`   // in the order of the checklist
	LeftOut []string  `json:"left_out"` // ids of checks that were not to run
}

// Fault is the report as an error with an exit code, or nil when every check that was to run is OK: 3 with a finding,
// else 1 when a check could not look.
func (r Report) Fault() error {
	switch {
	case r.Counts.Failed+r.Counts.Warning > 0:
		return fault.WithExit(fault.WithHint(
			errors.New("not everything is as it should be: "+r.Counts.String()),
			"`sallyport doctor --only ID` looks again at one of them; docs/doctor.md has a page for each"),
			fault.ExitFindings)
	case r.Counts.Unseen > 0:
		return fault.WithHint(errors.New("not everything could be looked at: "+r.Counts.String()),
			"each says what it needs; --skip ID leaves one out, and the report says so")
	}
	return nil
}
