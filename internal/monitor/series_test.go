package monitor_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
	"sallyport/internal/testkit"
)

// everything is a State that has a value of each metric for each value of its labels.
type everything struct{ size monitor.Size }

func (e everything) Collect(emit func(monitor.Gauge)) {
	for _, m := range []*monitor.Metric{
		monitor.TokenAge, monitor.TokenExpiry, monitor.TokenLastUsed, monitor.RotationLast,
		monitor.RotationDue, monitor.RotationBegan, monitor.Degraded,
		monitor.TokensStale, monitor.CredentialValid, monitor.CircuitOpen, monitor.AuditHealthy, monitor.AuditRecords,
		monitor.AuditSummarised, monitor.AuditPending, monitor.DerivedExpiry, monitor.DerivedHealthy, monitor.StoreUp,
		monitor.StoreLast, monitor.SecretStale, monitor.RowsRefused, monitor.DatabaseTrusted, monitor.ConfigValid,
		monitor.ConfigLoaded, monitor.SecretRotationLast, monitor.SecretRotationState, monitor.SecretRotationFailing,
		monitor.SecretRotationRuns, monitor.RotationNotices, monitor.SecretRotationConsumers,
		monitor.SecretRotationBegan, monitor.SecretRotationDue,
		monitor.UpstreamUp, monitor.ProbeSuccess,
		monitor.ProbeLast, monitor.CredentialExpiry, monitor.ProbesTotal,
		monitor.SinkBehind, monitor.SinkLag, monitor.SinkShipped, monitor.SinkFailures, monitor.SinkSkipped,
		monitor.TraceSpans,
	} {
		for _, values := range valuesOf(m.Labels, e.size) {
			emit(monitor.Gauge{Desc: m, Value: 1, Labels: values})
		}
	}
}

// valuesOf are all sets of values that labels can have.
func valuesOf(labels []monitor.Label, size monitor.Size) [][]string {
	sets := [][]string{nil}
	for _, l := range labels {
		values := l.Closed
		for i := len(values); len(l.Closed) == 0 && i < l.Count(size); i++ {
			values = append(values, fmt.Sprint(l.Name, "-", i))
		}
		var longer [][]string
		for _, set := range sets {
			for _, v := range values {
				longer = append(longer, append(slices.Clone(set), v))
			}
		}
		sets = longer
	}
	return sets
}

// allCodes are the outcomes that there are.
func allCodes() []fault.Code {
	codes := []fault.Code{""}
	for _, row := range fault.Table() {
		codes = append(codes, row.Code)
	}
	return codes
}

// worked is a gate of a size to which everything has happened, with these outcomes.
func worked(t testing.TB, size monitor.Size, codes []fault.Code) *monitor.Metrics {
	t.Helper()
	m := monitor.New("v1.2.3")
	m.Watch(everything{size}, func(why *fault.Panic) { t.Error(why) })
	for i := range size.Services + 1 {
		name := "" // of a request that named none
		if i > 0 {
			name = fmt.Sprint("service-", i)
		}
		for _, code := range codes {
			finish(m, &boundary.Outcome{
				Service: name, Code: code, Status: 999, Gate: time.Millisecond, Upstream: time.Second,
				BytesIn: 1, BytesOut: 1, Scrubbed: 1, Replayed: true, Renewed: i%2 == 0, NotResent: true,
			})
		}
	}
	for i := range size.Derived {
		m.Minted(derive.Observation{Name: fmt.Sprint("service-", i), Took: time.Second})
		for _, code := range codes[1:] {
			m.Minted(derive.Observation{Name: fmt.Sprint("service-", i), Took: time.Second, Fault: fault.New(code, "")})
		}
	}
	for i := range size.Tokens {
		m.Rotates(fmt.Sprint("token-", i))
		m.RotationFailed(fmt.Sprint("token-", i))
	}
	for _, listener := range []string{"gateway", "admin", "control"} {
		for _, kind := range []string{"panic", "tls", "accept", "refused", "write", "other"} {
			m.ServerError(listener, kind)
		}
	}
	for _, limit := range []string{"source", "total", "refused", "admin_total", "admin_refused"} {
		m.ConnectionClosed(limit)
	}
	m.Panicked()
	return m
}

// family is what there is of one metric.
type family struct {
	kind, help string
	labels     [][]string // of each, in their order
	series     int        // that Prometheus stores
}

// gathered are the metrics of a scrape by name.
func gathered(t testing.TB, m *monitor.Metrics) map[string]family {
	t.Helper()
	list, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	families := make(map[string]family)
	for _, f := range list {
		one := family{kind: strings.ToLower(f.GetType().String()), help: f.GetHelp()}
		for _, metric := range f.GetMetric() {
			names := []string{}
			for _, pair := range metric.GetLabel() {
				names = append(names, pair.GetName())
			}
			one.labels = append(one.labels, names)
			if one.series++; metric.GetHistogram() != nil {
				one.series += len(metric.GetHistogram().GetBucket()) + 2 // +Inf, _sum and _count
			}
		}
		families[f.GetName()] = one
	}
	return families
}

// TestCatalogue: what is registered is in the catalogue, as it is there, and what is in the catalogue is told.
func TestCatalogue(t *testing.T) {
	size := monitor.Size{Services: 2, Derived: 2, Tokens: 2, Generations: 2, Stores: 2, Rotations: 2, Sinks: 2}
	families := gathered(t, worked(t, size, allCodes()))
	for _, m := range monitor.Catalogue() {
		family, told := families[m.Name]
		if !told {
			t.Errorf("%s is in the catalogue, and nothing tells it", m.Name)
			continue
		}
		if family.kind != string(m.Kind) || family.help != m.Help {
			t.Errorf("%s is a %s, %q", m.Name, family.kind, family.help)
		}
		want := []string{}
		for _, l := range m.Labels {
			want = append(want, l.Name)
		}
		slices.Sort(want)
		for _, got := range family.labels {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("the labels of %s (-catalogue +page):\n%s", m.Name, diff)
			}
		}
		if m.Do == "" || !strings.HasSuffix(m.Help, ".") || !strings.HasSuffix(m.Do, ".") {
			t.Errorf("%s: want whole sentences on what it means and what to do", m.Name)
		}
		delete(families, m.Name)
	}
	for name := range families {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is told, and not in the catalogue", name)
		}
	}
}

// TestSeries: everything happens that can happen, and the number of series is what the page of metrics says.
func TestSeries(t *testing.T) {
	for name, c := range map[string]struct {
		size  monitor.Size
		codes []fault.Code
		total int
	}{
		"every " +
			"outcome": {monitor.Size{Services: 100, Derived: 20, Tokens: 50, Generations: 3, Stores: 10}, allCodes(), 8500},
		"10,000 services": {monitor.Size{Services: 10_000}, []fault.Code{"", fault.Upstream5xx}, 400_000},
	} {
		t.Run(name, func(t *testing.T) {
			families, total := gathered(t, worked(t, c.size, c.codes)), 0
			for _, m := range monitor.Catalogue() {
				got, most := families[m.Name].series, m.Series(c.size)
				total += got
				// of one service here only expired or challenge is the reason to send again
				less := len(c.codes) < 3 && got > 0 || m.Name == "sallyport_resent_requests_total" || most == 0
				if got > most || got != most && !less {
					t.Errorf("%s: %d series, want %d", m.Name, got, most)
				}
			}
			if total > c.total {
				t.Errorf("%d series", total)
			}
		})
	}
}

// TestPromtool is the opinion of Prometheus's own checker.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	testkit.RequireTool(t, "promtool", err == nil, "apt-get install prometheus")
	size := monitor.Size{Services: 2, Derived: 2, Tokens: 2, Generations: 2, Stores: 2, Rotations: 2, Sinks: 2}
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(scrape(t, worked(t, size, allCodes())))
	if out, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestPage: docs/metrics.md is what the catalogue says.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(monitor.Page()), string(page)); diff != "" {
		t.Errorf("docs/metrics.md is out of date; run `make generate` (-code +page):\n%s", diff)
	}
	for _, want := range []string{
		"| `sallyport_requests_total{service,outcome,blame}` | counter | - |",
		"| `sallyport_token_last_used_timestamp_seconds{token,generation}` | gauge | Unix time in seconds |",
		"| `sallyport_requests_total` | 33 × (S + 1) |", "| `sallyport_gate_duration_seconds` | 12 × (S + 1) |",
		"| `sallyport_degraded` | (D + K + A + 11) |", "| `sallyport_token_last_used_timestamp_seconds` | T × G |",
		"| `sallyport_panics_total` | 1 |",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %q", want)
		}
	}
}
