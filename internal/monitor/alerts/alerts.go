// Package alerts is what to be woken by: one table of SLOs and alerts, of which the rules and dashboards under deploy/
// are made.
//
// The program does not use it: it is here so that a test holds every expression to the metrics that the gate has, every
// alert to its runbook page under docs/operations, and what is under deploy/ to this table.
//
// Three SLOs are kept apart, since three parties answer for them: Sallyport, each API, and each credential. What one
// party fails in is in no other numerator, and what callers do wrong is in no denominator.
package alerts

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:generate go test -count=1 -run ^TestGenerated$ -update .

// Severity says who is told.
type Severity string

// The severities.
const (
	Critical Severity = "critical" // a person has to act now
	Warning  Severity = "warning"  // a person has to act in working hours
)

// Alert is a condition that a person has to know of. Its runbook is docs/operations/<Name>.md.
type Alert struct {
	Name     string
	Severity Severity
	Burn     string // of an SLO's alert: fast or slow
	// Expr is PromQL. Times in it stand as <5m>, and as <#5m> where it wants the number of seconds, so that a test can
	// have them shorter.
	Expr    string
	For     time.Duration
	Summary string // one line, with the alert's labels as {{ $labels.NAME }}
	Detail  string // whose turn it is, and what happens meanwhile
	Datadog string // the same condition as a query of Datadog; empty: it has no words for it
}

// Record is a recording rule.
type Record struct {
	Name string
	Expr string // as that of an Alert
}

// Group is rules that are evaluated together.
type Group struct {
	Name    string
	Records []Record
	Alerts  []Alert
}

// Groups are all rules, in their order.
func Groups() []Group {
	var records []Record
	var burns []Alert
	for _, s := range slos() {
		records = append(records, s.records()...)
		burns = append(burns, s.alerts()...)
	}
	return []Group{
		{Name: "sallyport-slo", Records: records, Alerts: burns},
		{Name: "sallyport", Alerts: append(gate(), parts()...)},
		{Name: "sallyport-credentials", Alerts: credentials()},
		{Name: "sallyport-n8n", Alerts: nodes()},
		{Name: "sallyport-rotations", Alerts: rotations()},
	}
}

// All are all alerts. The alert of an SLO is there twice, once for each severity.
func All() []Alert {
	var all []Alert
	for _, g := range Groups() {
		all = append(all, g.Alerts...)
	}
	return all
}

// Runbook is the page of an alert, from the top of the repository.
func (a Alert) Runbook() string { return "docs/operations/" + a.Name + ".md" }

var times = regexp.MustCompile(`<(#?)(\d+)([smhd])>`)

// at fills in the times of an expression, each divided by scale.
func at(expr string, scale int) string {
	return times.ReplaceAllStringFunc(expr, func(text string) string {
		m := times.FindStringSubmatch(text)
		n, _ := strconv.Atoi(m[2])
		d := time.Duration(n) * unitOf(m[3]) / time.Duration(scale)
		if m[1] == "#" {
			return strconv.FormatFloat(d.Seconds(), 'g', -1, 64)
		}
		return duration(d)
	})
}

func unitOf(letter string) time.Duration {
	return map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[letter]
}

// duration writes a time as Prometheus does.
func duration(d time.Duration) string {
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= unit.d && d%unit.d == 0 {
			return fmt.Sprint(int64(d/unit.d), unit.name)
		}
	}
	return fmt.Sprint(d.Milliseconds(), "ms")
}

// oneLine joins the lines of an expression.
func oneLine(expr string) string { return strings.Join(strings.Fields(expr), " ") }
