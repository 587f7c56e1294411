package monitor_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"sallyport/internal/boundary"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
)

// state emits every gauge there is.
type state struct{ series int }

func (s state) Collect(emit func(monitor.Gauge)) {
	for i := range s.series {
		emit(monitor.Gauge{Desc: monitor.TokenAge, Value: 1.5, Labels: []string{fmt.Sprint("token", i)}})
	}
	emit(monitor.Gauge{Desc: monitor.TokenExpiry, Value: 3600, Labels: []string{"n8n"}})
	emit(monitor.Gauge{Desc: monitor.TokenLastUsed, Value: 1e9, Labels: []string{"n8n", "2"}})
	emit(monitor.Gauge{Desc: monitor.CredentialValid, Value: 1, Labels: []string{"crm"}})
	emit(monitor.Gauge{Desc: monitor.DerivedHealthy, Value: 1, Labels: []string{"crm"}})
	emit(monitor.Gauge{Desc: monitor.DerivedExpiry, Value: 3000, Labels: []string{"crm"}})
	for _, d := range []monitor.Gauge{
		{Desc: monitor.AuditHealthy, Value: 1},
		{Desc: monitor.AuditRecords, Value: 7},
		{Desc: monitor.AuditPending},
		{Desc: monitor.ConfigValid, Value: 1},
		{Desc: monitor.ConfigLoaded, Value: 1e9},
		{Desc: monitor.RowsRefused, Labels: []string{"tokens"}},
		{Desc: monitor.DatabaseTrusted, Value: 1, Labels: []string{"tokens"}},
	} {
		emit(d)
	}
}

func scrape(t *testing.T, m *monitor.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// finish is one request from beginning to end.
func finish(m *monitor.Metrics, o *boundary.Outcome) {
	m.Started(o.Service)
	m.Finished(o)
}

// TestLint is Prometheus's own opinion of names, units and help texts.
func TestLint(t *testing.T) {
	m := monitor.New("v1.2.3")
	m.Watch(state{series: 2}, func(why *fault.Panic) { t.Error(why) })
	for _, row := range fault.Table() {
		finish(m, &boundary.Outcome{
			Service: "crm", Code: row.Code, Gate: time.Millisecond, Upstream: time.Second,
			BytesIn: 1, BytesOut: 1, Scrubbed: 1, Replayed: true, Renewed: true, NotResent: true,
		})
	}
	m.Panicked()
	m.ServerError("gateway", "accept")
	m.ServerError("gateway", "panic") // before there was a request: counted as a panic as well
	m.Minted(derive.Observation{Name: "crm", Took: time.Second})
	m.Minted(derive.Observation{Name: "crm", Took: time.Second, Fault: fault.New(fault.CredentialMintFailed, "")})
	text := scrape(t, m)
	for _, want := range []string{
		"sallyport_panics_total 2",
		`sallyport_http_server_errors_total{kind="accept",listener="gateway"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("want %s", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestCountsTokens: what became of attempts to have a token, and of the requests that waited for one.
func TestCountsTokens(t *testing.T) {
	m := monitor.New("test")
	m.Minted(derive.Observation{Name: "crm", Took: time.Millisecond})
	m.Minted(derive.Observation{
		Name: "crm/2", Took: time.Millisecond,
		Fault: fault.New(fault.CredentialMintFailed, "why"),
	})
	finish(m, &boundary.Outcome{Service: "crm"})
	finish(m, &boundary.Outcome{Service: "crm", Renewed: true, Replayed: true})
	finish(m, &boundary.Outcome{Service: "printer", Replayed: true})
	finish(m, &boundary.Outcome{Service: "crm", Code: fault.CredentialRejected, NotResent: true})
	text := scrape(t, m)
	for _, want := range []string{
		`sallyport_derived_token_minted_total{service="crm"} 1`,
		`sallyport_derived_token_failed_total{code="credential_mint_failed",service="crm/2"} 1`,
		`sallyport_derived_token_mint_duration_seconds_count{service="crm"} 1`,
		`sallyport_resent_requests_total{service="crm",why="expired"} 1`,
		`sallyport_resent_requests_total{service="printer",why="challenge"} 1`,
		`sallyport_not_resent_requests_total{service="crm"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("there is no line %s", want)
		}
	}
}

// TestCounts: what became of requests, and whose fault it was.
func TestCounts(t *testing.T) {
	m := monitor.New("test")
	finish(m, &boundary.Outcome{
		Service: "crm", Gate: 40 * time.Microsecond, Upstream: 3 * time.Millisecond,
		BytesIn: 10, BytesOut: 200, Scrubbed: 2,
	})
	finish(m, &boundary.Outcome{Service: "crm", Gate: 40 * time.Microsecond, BytesOut: 300})
	finish(m, &boundary.Outcome{
		Service: "crm", Code: fault.UpstreamTimeout, Gate: time.Millisecond,
		Upstream: time.Second,
	})
	finish(m, &boundary.Outcome{Code: fault.TokenInvalid, Gate: time.Microsecond})
	m.Started("crm") // still there
	var got []string
	for line := range strings.Lines(scrape(t, m)) {
		for _, name := range []string{
			"sallyport_requests_total{", "sallyport_body_bytes_total{",
			"sallyport_scrubbed_total{", "sallyport_in_flight", "_duration_seconds_count{", "sallyport_build_info{",
		} {
			if strings.Contains(line, name) && !strings.HasPrefix(line, "#") {
				got = append(got, strings.TrimSpace(line))
			}
		}
	}
	want := []string{
		`sallyport_body_bytes_total{direction="request",service=""} 0`,
		`sallyport_body_bytes_total{direction="request",service="crm"} 10`,
		`sallyport_body_bytes_total{direction="response",service=""} 0`,
		`sallyport_body_bytes_total{direction="response",service="crm"} 500`,
		`sallyport_build_info{version="test"} 1`,
		`sallyport_gate_duration_seconds_count{service=""} 1`,
		`sallyport_gate_duration_seconds_count{service="crm"} 3`,
		`sallyport_in_flight_requests 1`,
		`sallyport_requests_total{blame="caller",outcome="token_invalid",service=""} 1`,
		`sallyport_requests_total{blame="none",outcome="ok",service="crm"} 2`,
		`sallyport_requests_total{blame="upstream",outcome="upstream_timeout",service="crm"} 1`,
		`sallyport_scrubbed_total{service=""} 0`,
		`sallyport_scrubbed_total{service="crm"} 2`,
		`sallyport_upstream_duration_seconds_count{service=""} 0`,
		`sallyport_upstream_duration_seconds_count{service="crm"} 2`, // one of the three never waited for the API
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestCountsTogether: many at once, first met at once too, are all counted, in one series each.
func TestCountsTogether(t *testing.T) {
	m := monitor.New("test")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 200 {
				finish(m,
					&boundary.Outcome{Service: fmt.Sprint("s", i%4), Code: []fault.Code{"", fault.RateLimited}[i%2]})
			}
		})
	}
	all.Wait()
	text := scrape(t, m)
	if n := strings.Count(text, "\nsallyport_requests_total{"); n != 4 {
		t.Errorf("%d series, want 4", n)
	}
	for _, want := range []string{
		`sallyport_requests_total{blame="none",outcome="ok",service="s0"} 400`,
		`sallyport_requests_total{blame="caller",outcome="rate_limited",service="s3"} 400`,
		"\nsallyport_in_flight_requests 0\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestCountingIsCheap: once a service and an outcome are known, counting allocates nothing.
func TestCountingIsCheap(t *testing.T) {
	m := monitor.New("test")
	o := &boundary.Outcome{Service: "crm", Gate: time.Millisecond, Upstream: time.Millisecond, BytesIn: 1, BytesOut: 1}
	finish(m, o)
	if n := testing.AllocsPerRun(100, func() { finish(m, o) }); n > 1 { // the key of the cache
		t.Errorf("%v allocations for one request", n)
	}
}

func TestReadiness(t *testing.T) {
	down := monitor.Part{Name: "audit", Why: "the disk is full", Hint: "free it"}
	for name, c := range map[string]struct {
		parts  []monitor.Part
		status int
		body   string
	}{
		"ready": {
			[]monitor.Part{{Name: "database", Ready: true}, {Name: "audit", Ready: true}},
			200,
			`{"degraded":[],"parts":[{"part":"database","ready":true},{"part":"audit","ready":true}],"ready":true}`,
		},
		"one part down": {
			[]monitor.Part{{Name: "database", Ready: true}, down},
			503,
			`{"degraded":[],"parts":[{"part":"database","ready":true},{"part":"audit","ready":false,"why":"the disk is full","hint":"free it"}],"ready":false}`,
		},
		"one part degraded": {
			[]monitor.Part{{Name: "database", Ready: true, Why: "away"}, {Name: "audit", Ready: true}},
			200,
			`{"degraded":["database"],"parts":[{"part":"database","ready":true,"why":"away"},{"part":"audit","ready":true}],"ready":true}`,
		},
		"the first down": {
			[]monitor.Part{down, {Name: "database", Ready: true}},
			503,
			`{"degraded":[],"parts":[{"part":"audit","ready":false,"why":"the disk is full","hint":"free it"},{"part":"database","ready":true}],"ready":false}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h := monitor.Readiness(func(*http.Request) []monitor.Part { return c.parts })
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			body, _ := io.ReadAll(w.Body)
			if w.Code != c.status || strings.TrimSpace(string(body)) != c.body {
				t.Errorf("got %d %s, want %d %s", w.Code, body, c.status, c.body)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control %q", got)
			}
		})
	}
}

func TestAlive(t *testing.T) {
	w := httptest.NewRecorder()
	monitor.Alive().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != http.StatusOK || w.Body.String() != "alive\n" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

// bug is a State that panics in the middle.
type bug struct{ state }

func (b bug) Collect(emit func(monitor.Gauge)) {
	b.state.Collect(emit)
	panic("hunter2")
}

// TestPanicWhileCollecting: the registry collects in goroutines of its own. A panic there is told of, and what there is
// is shown.
func TestPanicWhileCollecting(t *testing.T) {
	m := monitor.New("v1.2.3")
	var told []*fault.Panic
	m.Watch(bug{state{series: 2}}, func(why *fault.Panic) { told = append(told, why) })
	text := scrape(t, m)
	if len(told) != 1 || told[0].Where != "collecting metrics" {
		t.Errorf("told of %v", told)
	}
	if !strings.Contains(text, "sallyport_audit_healthy 1") || strings.Contains(text, "hunter2") {
		t.Errorf("got %s", text)
	}
}
