package alerts_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/monitor"
	"sallyport/internal/monitor/alerts"
)

var (
	selector = regexp.MustCompile(`\b(sallyport_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`)
	recorded = regexp.MustCompile(`\bsallyport:[a-z_]+:[a-z0-9_]+`)
)

// TestExpressionsNameMetrics: every metric of an expression is one of the gate's, every label one of that metric's, and
// every value that is asked for one that it can have.
func TestExpressionsNameMetrics(t *testing.T) {
	known := map[string]bool{}
	for _, g := range alerts.Groups() {
		for _, r := range g.Records {
			known[r.Name] = true
		}
	}
	for _, g := range alerts.Groups() {
		for _, r := range g.Records {
			wantMetrics(t, r.Name, r.Expr, known)
		}
		for _, a := range g.Alerts {
			wantMetrics(t, a.Name, a.Expr, known)
		}
	}
}

// TestPanelsNameMetrics: so does the dashboard.
func TestPanelsNameMetrics(t *testing.T) {
	known := map[string]bool{}
	for _, g := range alerts.Groups() {
		for _, r := range g.Records {
			known[r.Name] = true
		}
	}
	for title, query := range alerts.Queries("sallyport", "5m") {
		wantMetrics(t, title, query, known)
	}
}

var (
	datadogMetric = regexp.MustCompile(`\bsallyport\.([a-z0-9_.]+)\{([^}]*)\}(?: by \{([a-z]+)\})?`)
	datadogTag    = regexp.MustCompile(`\b([a-z]+)(?::| IN )`)
)

// TestMonitorsNameMetrics: so do Datadog's monitors, as its OpenMetrics check renames them.
func TestMonitorsNameMetrics(t *testing.T) {
	found := 0
	for _, a := range alerts.All() {
		for _, m := range datadogMetric.FindAllStringSubmatch(a.Datadog, -1) {
			found++
			name := "sallyport_" + m[1]
			if plain, counts := strings.CutSuffix(name, ".count"); counts {
				name = plain + "_total"
			}
			metric := metricOf(name)
			if metric == nil {
				t.Errorf("%s: the gate has no metric %s", a.Name, name)
				continue
			}
			tags := []string{}
			for _, tag := range datadogTag.FindAllStringSubmatch(m[2], -1) {
				tags = append(tags, tag[1])
			}
			if m[3] != "" && m[3] != "host" {
				tags = append(tags, m[3])
			}
			for _, tag := range tags {
				if !slices.ContainsFunc(metric.Labels, func(l monitor.Label) bool { return l.Name == tag }) {
					t.Errorf("%s: %s has no label %s", a.Name, name, tag)
				}
			}
		}
	}
	if found < 15 {
		t.Errorf("found %d metrics", found)
	}
}

// TestLeftOutOfDatadog: what has no monitor in Datadog is named on the page, and nothing else is.
func TestLeftOutOfDatadog(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "Left out are ")
	rest, _, found := strings.Cut(rest, ": a monitor of Datadog has neither")
	if !found {
		t.Fatal("the page has no list of what is left out")
	}
	for _, a := range alerts.All() {
		if named := strings.Contains(rest, a.Name); named != (a.Datadog == "") {
			t.Errorf("%s: named as left out is %v, and its query %q", a.Name, named, a.Datadog)
		}
	}
}

func wantMetrics(t *testing.T, rule, expr string, records map[string]bool) {
	t.Helper()
	labels := []string{"job", "instance", "le"}
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		metric := metricOf(m[1])
		if metric == nil {
			t.Errorf("%s: the gate has no metric %s", rule, m[1])
			continue
		}
		for _, l := range metric.Labels {
			labels = append(labels, l.Name)
		}
		for _, pair := range matcher.FindAllStringSubmatch(m[2], -1) {
			if pair[1] == "job" {
				continue
			}
			i := slices.IndexFunc(metric.Labels, func(l monitor.Label) bool { return l.Name == pair[1] })
			if i < 0 {
				t.Errorf("%s: %s has no label %s", rule, m[1], pair[1])
				continue
			}
			for value := range strings.SplitSeq(pair[3], "|") {
				if closed := metric.Labels[i].Closed; len(closed) > 0 && !slices.Contains(closed, value) {
					t.Errorf("%s: %s{%s} is never %q", rule, m[1], pair[1], value)
				}
			}
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[1], ", ") {
			if !slices.Contains(labels, label) {
				t.Errorf("%s: nothing has the label %s", rule, label)
			}
		}
	}
	for _, name := range recorded.FindAllString(expr, -1) {
		if !records[name] {
			t.Errorf("%s: nothing records %s", rule, name)
		}
	}
}

func metricOf(name string) *monitor.Metric {
	for _, m := range append(monitor.Catalogue(), monitor.WatchCatalogue()...) {
		if m.Name == name || m.Kind == monitor.KindHistogram &&
			slices.Contains([]string{m.Name + "_bucket", m.Name + "_sum", m.Name + "_count"}, name) {
			return m
		}
	}
	return nil
}

// TestEveryCodeHasAnSLO: what goes wrong is in the budget of one party, and callers' own mistakes are in none.
func TestEveryCodeHasAnSLO(t *testing.T) {
	for _, row := range fault.Table() {
		party := map[fault.Blame]string{
			fault.BlameSallyport: "gate", fault.BlameUpstream: "api", fault.BlameCredential: "credential",
		}[row.Blame]
		if row.Code == fault.Upstream4xx { // mostly the request is wrong
			party = ""
		}
		var in []string
		for name, errors := range alerts.Errors() {
			if matches(errors, map[string]string{"outcome": string(row.Code), "blame": string(row.Blame)}) {
				in = append(in, name)
			}
		}
		if party == "" && len(in) > 0 || party != "" && !slices.Equal(in, []string{party}) {
			t.Errorf("%s is in the budget of %q, want %q", row.Code, in, party)
		}
	}
}

// matches tells whether matchers, as of a selector, take a series.
func matches(matchers string, labels map[string]string) bool {
	for _, pair := range matcher.FindAllStringSubmatch(matchers, -1) {
		pattern := regexp.MustCompile("^(?:" + pair[3] + ")$")
		if pattern.MatchString(labels[pair[1]]) == strings.HasPrefix(pair[2], "!") {
			return false
		}
	}
	return true
}
