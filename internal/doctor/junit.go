package doctor

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The elements of JUnit's reports as Jenkins, GitLab and GitHub's actions read them.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Time     string       `xml:"time,attr"` // seconds
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		At       string      `xml:"timestamp,attr"` // RFC 3339 without a zone
		Host     string      `xml:"hostname,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
		Error   *junitFailure `xml:"error"`
		Skipped *struct{}     `xml:"skipped"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes a report as JUnit has it: a check is a test case. One that has a finding has failed; one that could not
// look ended in an error, so that nobody takes it for passed; one that was left out was skipped.
func JUnit(w io.Writer, r Report) error {
	took := seconds(r.Ended.Sub(r.Began))
	suite := junitSuite{
		Name: "sallyport doctor", Tests: len(r.Results) + len(r.LeftOut), Skipped: len(r.LeftOut), Time: took,
		Failures: r.Counts.Failed + r.Counts.Warning, Errors: r.Counts.Unseen,
		At: r.Began.UTC().Format("2006-01-02T15:04:05"), Host: r.Host,
	}
	for i := range r.Results {
		suite.Cases = append(suite.Cases, junitOf(&r.Results[i]))
	}
	for _, id := range r.LeftOut {
		suite.Cases = append(suite.Cases, junitCase{Class: "doctor", Name: id, Time: "0.000", Skipped: new(struct{})})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	err := enc.Encode(junitSuites{
		Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Time: took, Suites: []junitSuite{suite},
	})
	if err != nil {
		return fmt.Errorf("writing the report as JUnit: %w", err)
	}
	_, err = io.WriteString(w, "\n")
	return err
}

func junitOf(r *Result) junitCase {
	c := junitCase{Class: "doctor", Name: r.ID, Time: seconds(time.Duration(r.Millis) * time.Millisecond)}
	var text strings.Builder
	for _, s := range r.Seen {
		_, _ = fmt.Fprintf(&text, "%s: %s: %s\n", s.Status, s.At(), s.Evidence)
		if s.Remedy != "" {
			_, _ = fmt.Fprintf(&text, "  to do: %s\n", s.Remedy)
		}
	}
	what := &junitFailure{Message: r.Title + ": " + string(r.Status), Type: string(r.Status), Text: text.String()}
	switch r.Status {
	case OK:
		c.Out = text.String()
	case Unseen:
		c.Error = what
	default:
		c.Failure = what
	}
	return c
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
