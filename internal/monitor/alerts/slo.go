package alerts

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// slo is a promise of one party: the share of its requests that may fail.
type slo struct {
	party     string // gate, api or credential: in the names of what is recorded
	alert     string
	by        string // the labels of one promise
	objective float64
	errors    string // series of sallyport_requests_total that break it, as matchers
	valid     string // series that count at all
	fewest    int    // failures within the long window below which nobody is woken
	fast      Severity
	what      string // of the alert's summary
	detail    string
}

func slos() []slo {
	return []slo{
		{
			party: "gate", alert: "SallyportFailing", by: "job", objective: 0.999,
			errors: `blame="sallyport"`, valid: `blame!="caller"`, fast: Critical,
			what: "Sallyport itself fails n8n's calls ({{ $labels.job }})",
			detail: "The APIs were not called, or no gate runs. This is Sallyport's own error budget (99.9 % of " +
				"calls, and " +
				"of the time); what an API or a credential fails in is not in it.",
		},
		{
			party: "api", alert: "SallyportAPIFailing", by: "job, service", objective: 0.99,
			errors: `blame="upstream",outcome!="upstream_4xx"`, valid: `blame=~"none|upstream"`, fewest: 5, fast: Warning,
			what: "the API of {{ $labels.service }} fails",
			detail: "The gate works: the API answers with 5xx, or cannot be reached. Its budget is 99 % of the " +
				"calls that " +
				"reached for it.",
		},
		{
			party: "credential", alert: "SallyportCredentialFailing", by: "job, service", objective: 0.99,
			errors: `blame="credential"`, valid: `blame=~"none|upstream|credential"`, fewest: 5, fast: Critical,
			what: "calls to {{ $labels.service }} fail for want of a working credential",
			detail: "The API refuses the credential, or there is none. The gate and the API work; whoever owns the " +
				"key has " +
				"to act.",
		},
	}
}

// windows are those over which errors are recorded.
func windows() []string { return []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d"} }

// burn is one condition of multi-window, multi-burn-rate alerts (Site Reliability Workbook, chapter 5): the budget of
// 30 days burns factor times too fast over the long window, and over the short one still.
type burn struct {
	factor      float64
	long, short string
}

// name of what is recorded over a window.
func (s *slo) name(window string) string {
	return "sallyport:" + s.party + "_errors:ratio_rate" + window
}

func (s *slo) records() []Record {
	var list []Record
	for _, w := range windows() {
		share := fmt.Sprintf(`(sum by (%[1]s) (rate(sallyport_requests_total{%[2]s}[<%[4]s>]))
  or 0 * sum by (%[1]s) (rate(sallyport_requests_total{%[3]s}[<%[4]s>])))
/ (sum by (%[1]s) (rate(sallyport_requests_total{%[3]s}[<%[4]s>])) > 0)`, s.by, s.errors, s.valid, w)
		if s.party == "gate" {
			share = s.orDown(&list, share, w)
		}
		list = append(list, Record{s.name(w), share})
	}
	return list
}

// orDown makes the gate's share that of its failed requests, or of the time in which no gate ran, whichever is larger:
// a gate that is not there counts no requests.
func (s *slo) orDown(list *[]Record, share, window string) string {
	requests, down := "sallyport:gate_requests:ratio_rate"+window, "sallyport:gate_down:ratio_over"+window
	*list = append(*list,
		Record{requests, share},
		Record{down, fmt.Sprintf(`1 - max by (job) (avg_over_time(up{%s}[<%s>]))`, job, window)})
	return fmt.Sprintf("(%[1]s > %[2]s) or %[2]s or %[1]s", requests, down)
}

// alerts are two of one name: one for what has to be mended now, one for what eats the budget up within the month.
func (s *slo) alerts() []Alert {
	fast := s.alerting(2*time.Minute, burn{14.4, "1h", "5m"}, burn{6, "6h", "30m"})
	fast.Severity, fast.Burn, fast.Summary = s.fast, "fast", s.what+", and its error budget burns quickly"
	slow := s.alerting(15*time.Minute, burn{3, "1d", "2h"}, burn{1, "3d", "6h"})
	slow.Severity, slow.Burn, slow.Summary = Warning, "slow", s.what+", and its error budget burns slowly"
	return []Alert{fast, slow}
}

func (s *slo) alerting(holds time.Duration, burns ...burn) Alert {
	var arms []string
	for _, b := range burns {
		limit := strconv.FormatFloat(b.factor*(1-s.objective), 'g', 6, 64)
		arm := fmt.Sprintf("%s > %s\n  and %s > %s", s.name(b.long), limit, s.name(b.short), limit)
		if s.fewest > 0 {
			arm += fmt.Sprintf("\n  and sum by (%s) (increase(sallyport_requests_total{%s}[<%s>])) > "+
				"%d", s.by, s.errors, b.long,
				s.fewest)
		}
		arms = append(arms, "("+arm+")")
	}
	return Alert{
		Name: s.alert, For: holds, Expr: strings.Join(arms, "\nor\n"), Detail: s.detail, Datadog: s.datadog(burns[0]),
	}
}
