package app_test

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary/token"
	"sallyport/internal/monitor"
	"sallyport/internal/rotation/run"
)

// series is one line of /metrics.
type series struct {
	name   string
	labels map[string]string
}

var (
	seriesLine = regexp.MustCompile(`^([a-z_]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$`)
	labelPair  = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

// ours are the series of a page whose metrics are ours.
func ours(t *testing.T, page string) (list []series) {
	t.Helper()
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "sallyport_") {
			continue
		}
		m := seriesLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Fatalf("reading %q", line)
		}
		one := series{m[1], map[string]string{}}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			if pair[1] != "le" {
				one.labels[pair[1]] = pair[2]
			}
		}
		list = append(list, one)
	}
	return list
}

// TestMetricsOfAGate: what a running gate tells is what the catalogue has, and whatever callers send, the labels have
// the values that it says.
func TestMetricsOfAGate(t *testing.T) {
	b := newDerivedBed(t, `stores: {corp: {kind: file, dir: `+t.TempDir()+`}}
tokens: {n8n: {services: ["*"], rotate: {every: 24h}}}
probes: {every: 1h}
rotations: {rotated: {secret: ref+builtin://rotated, driver: {kind: generate}, schedule: {every: 30d}}}
audit: {sinks: {siem: {kind: http, url: "https://127.0.0.1:1/"}}}
`, atServer("crm", clientCredentials()))
	scope := token.Scope{Services: []string{"*"}}
	if _, _, err := b.state.Tokens.Issue(t.Context(), "other", scope, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	b.put("rotated", "canary-of-before")
	gate := b.serve()
	if _, err := gate.SecretRotations().Rotate(t.Context(), "rotated", run.Request{Actor: "test"}, nil); err != nil {
		t.Fatal(err)
	}
	b.get(gate.GatewayURL()+"/s/crm/api").is(t, 200, "fine")
	b.until("the use of the token is told", func() bool {
		return strings.Contains(b.scrape(gate), "sallyport_token_last_used_timestamp_seconds{")
	})
	b.until("the service is probed", func() bool {
		return strings.Contains(b.scrape(gate), `sallyport_probe_success{service="crm"} 1`)
	})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 25 {
				hostile(t, gate.GatewayURL(), b.token, i*100+n)
			}
		})
		all.Go(func() { b.scrape(gate) })
	}
	all.Wait()
	told := ours(t, b.scrape(gate))
	want, got := map[string]bool{}, map[string]bool{}
	metrics := map[string]*monitor.Metric{}
	for _, m := range monitor.Catalogue() {
		want[m.Name], metrics[m.Name] = true, m
	}
	for _, s := range told {
		got[s.name] = true
		if metrics[s.name] != nil {
			wantLabels(t, metrics[s.name], s.labels)
		}
	}
	for _, rare := range []string{ // what did not happen here; monitor.TestCatalogue has them
		"derived_token_failed_total", "resent_requests_total", "not_resent_requests_total", "connections_closed_total",
		"http_server_errors_total", "rotation_began_timestamp_seconds", "rotation_notices_total", "trace_spans_total",
		"secret_rotation_began_timestamp_seconds",
		"credential_expiry_timestamp_seconds",
	} {
		delete(want, "sallyport_"+rare)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("(-catalogue +gate):\n%s", diff)
	}
	for _, m := range monitor.Catalogue() {
		n := 0
		for _, s := range told {
			if s.name == m.Name {
				n++
			}
		}
		size := monitor.Size{Services: 1, Derived: 1, Tokens: 2, Generations: 1, Stores: 2, Rotations: 1, Sinks: 1}
		if most := m.Series(size); n > most {
			t.Errorf("%s has %d series, want at most %d", m.Name, n, most)
		}
	}
}

// wantLabels wants the labels of a metric with values that the gate knew before anybody called it.
func wantLabels(t *testing.T, m *monitor.Metric, labels map[string]string) {
	t.Helper()
	if len(labels) != len(m.Labels) {
		t.Errorf("%s%v: want the labels %v", m.Name, labels, m.Labels)
	}
	known := map[string][]string{
		"service": {"", "crm"}, "token": {"n8n", "other"}, "generation": {"1"}, "store": {"builtin", "corp"},
		"rotation": {"rotated"}, "sink": {"siem"},
		"version": {"test"}, "part": {
			"database", "audit", "store", "draining", "store corp", "audit sink siem",
		},
	}
	for _, l := range m.Labels {
		values := append(slices.Clone(l.Closed), known[l.Name]...)
		if value, has := labels[l.Name]; !has || !slices.Contains(values, value) {
			t.Errorf("%s{%s=%q}: want one of %q", m.Name, l.Name, value, values)
		}
	}
}

// hostile sends what a caller can choose: other services, methods, tokens, paths and names, and what is no HTTP.
func hostile(t *testing.T, gateway, token string, n int) {
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(gateway, "http://"))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	name := fmt.Sprintf("evil-%d", n)
	if n%3 > 0 {
		token = "spt_" + name
	}
	head := fmt.Sprintf("X-Sallyport-Token: %s\r\nX-Sallyport-Workflow: %s\r\nX-Sallyport-Node: %[2]s\r\nHost: "+
		"%[2]s\r\n"+
		"Connection: close\r\n\r\n", token, name)
	fmt.Fprint(conn, []string{
		"GET /s/" + name + "/x HTTP/1.1\r\n" + head, strings.ToUpper(name) + " /s/crm/api HTTP/1.1\r\n" + head,
		"GET /s/crm/" + name + " HTTP/1.1\r\n" + head, "GET /s/crm%00" + name + " HTTP/1.1\r\n" + head,
		"GET /" + name + " HTTP/1.1\r\n" + head, name + "\r\n\r\n", "\x16\x03\x01\x00\x05" + name,
	}[n%7])
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
		_ = resp.Body.Close()
	}
}
