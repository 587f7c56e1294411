package monitor

import (
	"bytes"
	"fmt"
	"strings"
)

const pageHead = "# Metrics\n\n" +
	"<!-- Generated from the metrics in internal/monitor. Do not edit. -->\n\n" +
	"`/metrics` on the admin listener (`listen.admin`), in the Prometheus text format. Names stay: what is renamed " +
	"is told " +
	"under both names.\n" +
	"The Go runtime's `go_…` and the process's `process_…` metrics are there too.\n"

const pageWatch = "\n## n8n's nodes, of `sallyport watch`\n\n`sallyport watch` is a process of its own, with a " +
	"`/metrics` of its own ([n8n-logs.md](n8n-logs.md)).\n\n| metric | type | unit | meaning | what to do |\n" +
	"| --- | --- | --- | --- | --- |\n"

const pageSeries = `
## How many series

No label has a value that a caller can choose: not its path, its method, a status, a name that is not configured, nor a token that does not exist.
So the number of series follows from the configuration. Names that a reload takes out keep their counters until the process ends; their gauges go
at once. For S services, D credentials whose tokens are minted, T proxy tokens with G generations in use, K stores, R rotations of secrets, A sinks of the audit log, and N nodes of n8n, there are at most:

| metric | series at most |
| --- | --- |
`

const pageScrapes = `
Most services have a few outcomes only, so that a gate has far fewer in practice. ` +
	"Eight scrapes can be under way at once; another one is answered with 503.\n" +
	"A scraper that does not read its page for 30 seconds is cut off, and keeps no request waiting.\n"

// Page is docs/metrics.md.
func Page() []byte {
	var b bytes.Buffer
	b.WriteString(pageHead)
	for _, g := range Groups() {
		fmt.Fprintf(&b, "\n## %s\n\n| metric | type | unit | meaning | what to do |\n| --- | --- | --- | --- | --- "+
			"|\n", g.Name)
		for _, m := range g.Metrics {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.signature(), m.Kind, dash(m.Unit()), m.Help, m.Do)
		}
	}
	b.WriteString(pageWatch)
	for _, m := range WatchCatalogue() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.signature(), m.Kind, dash(m.Unit()), m.Help, m.Do)
	}
	b.WriteString("\n## Labels\n\n| label | of | values |\n| --- | --- | --- |\n")
	for _, l := range labels() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", l.Name, strings.Join(l.of, ", "), l.text())
	}
	b.WriteString(pageSeries)
	for _, m := range append(Catalogue(), WatchCatalogue()...) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", m.Name, m.bound())
	}
	b.WriteString(pageScrapes)
	return b.Bytes()
}

// signature is the name with the names of the labels.
func (m *Metric) signature() string {
	if len(m.Labels) == 0 {
		return m.Name
	}
	return m.Name + "{" + strings.Join(m.labels(), ",") + "}"
}

// described is a label with the metrics that have it.
type described struct {
	Label

	of []string
}

// labels are all labels, those of one name and meaning together.
func labels() []*described {
	var list []*described
	known := map[string]*described{}
	for _, m := range append(Catalogue(), WatchCatalogue()...) {
		for _, l := range m.Labels {
			key := l.Name + " " + l.text()
			if known[key] == nil {
				known[key] = &described{Label: l}
				list = append(list, known[key])
			}
			known[key].of = append(known[key].of, "`"+strings.TrimPrefix(m.Name, prefix)+"`")
		}
	}
	return list
}

// text says what the values are.
func (l *Label) text() string {
	if l.Values != "" {
		return l.Values
	}
	return "`" + strings.Join(l.Closed, "`, `") + "`"
}

// bound is Series as a formula, which is found by looking at it: each label's count is a constant, or grows with one or
// several of the sizes.
func (m *Metric) bound() string {
	constant, factors := m.each(), []string{}
	for _, l := range m.Labels {
		if factor, fixed := l.factor(); fixed > 0 {
			constant *= fixed
		} else {
			factors = append(factors, factor)
		}
	}
	if constant != 1 || len(factors) == 0 {
		factors = append([]string{fmt.Sprint(constant)}, factors...)
	}
	return strings.Join(factors, " × ")
}

// factor is a label's count: fixed, or else as a text.
func (l *Label) factor() (text string, fixed int) {
	none := l.Count(Size{})
	var terms []string
	for _, one := range []struct {
		letter string
		size   Size
	}{
		{"S", Size{Services: 1}},
		{"D", Size{Derived: 1}},
		{"T", Size{Tokens: 1}},
		{"G", Size{Generations: 1}},
		{"K", Size{Stores: 1}},
		{"R", Size{Rotations: 1}},
		{"A", Size{Sinks: 1}},
		{"N", Size{Nodes: 1}},
	} {
		if l.Count(one.size) > none {
			terms = append(terms, one.letter)
		}
	}
	switch {
	case len(terms) == 0:
		return "", none
	case none > 0:
		terms = append(terms, fmt.Sprint(none))
	}
	if len(terms) == 1 {
		return terms[0], 0
	}
	return "(" + strings.Join(terms, " + ") + ")", 0
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
