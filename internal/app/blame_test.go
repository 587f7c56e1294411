package app_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/monitor/alerts"
	"sallyport/internal/testkit/prometheus"
)

var updateBlame = flag.Bool("update-blame", false, "write docs/blame.md")

// shorter is how many times shorter the times of the alerts are here.
const shorter = 150

// mishap is one fault, injected into a real gate.
type mishap struct {
	what  string // for the page
	party string // who has to act, in truth: caller, credential, upstream, sallyport
	// the service, below its name; %[1]s is the good API's URL; "" for a fault of a gate of its own
	service string
	call    func(*lane) seen // nil: a GET of /x
	alerts  []string
	why     string // of a confusion, for the page
	shown   string // by n8n, where no status says it
}

// seen is what a caller gets; a status of 0 is a connection that broke off.
type seen struct {
	status      int
	proxyStatus string
}

// found is all that a fault shows.
type found struct {
	seen

	code, blame string
	event       string // the kind of the last record
	outcome     string // of the metric
	alerts      []string
}

// lane is where a fault is injected: a service of a gate, called by who knows nothing of it.
type lane struct {
	t       *testing.T
	b       *bed
	gateway string
	name    string // of the service
	what    string
	token   string
}

// get sends what n8n sends, with the name of the fault as that of the workflow.
func (l *lane) get(service, token string) seen { return l.do(http.MethodGet, service, token, "") }

func (l *lane) do(method, service, token, body string) seen {
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.gateway+"/s/"+service+"/x", strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Sallyport-Token", token)
	}
	req.Header.Set("X-Sallyport-Workflow", l.what)
	return l.send(req)
}

func (*lane) send(req *http.Request) seen {
	client := &http.Client{
		Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return seen{}
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return seen{}
	}
	return seen{resp.StatusCode, resp.Header.Get("Proxy-Status")}
}

// last is the newest record of the fault's calls.
func (l *lane) last() (ev audit.Event) {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.b.dir, "sallyport-data", "audit.jsonl"))
	if err != nil {
		return ev // it was taken away
	}
	for line := range bytes.Lines(data) {
		r, err := audit.Parse(line)
		if err == nil && (r.Event.Workflow == l.what || l.what == malformed && r.Event.Code == "request_malformed") {
			ev = r.Event
		}
	}
	return ev
}

// calls repeats a fault until stop, so that its alert has something to see.
func calls(ctx context.Context, once func()) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			once()
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// TestBlame injects each fault into a real gate that a real Prometheus watches, and writes down what it shows: to the
// caller, on record, in the metrics, and which alerts fire. docs/blame.md is made of it.
func TestBlame(t *testing.T) {
	w := newBlameWorld(t)
	w.shared()
	w.own()
	page := w.page()
	path := filepath.Join("..", "..", "docs", "blame.md")
	if *updateBlame {
		if err := os.WriteFile(path, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), string(page)); diff != "" {
		t.Errorf("docs/blame.md is not what the gate shows; go test ./internal/app -run TestBlame -update-blame "+
			"writes it (-page +gate):\n%s", diff)
	}
}

// blameWorld is the gates, and the Prometheus that watches them.
type blameWorld struct {
	t          *testing.T
	api        *badAPI
	prometheus *prometheus.Server
	addresses  map[string]string // of admin listeners, by job
	found      map[string]found  // by fault
}

func newBlameWorld(t *testing.T) *blameWorld {
	w := &blameWorld{t: t, api: newBadAPI(t), addresses: map[string]string{}, found: map[string]found{}}
	config := "global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files: [rules.yml]\nscrape_configs:\n"
	for _, job := range append([]string{"sallyport"}, jobs()...) {
		w.addresses[job] = prometheus.FreeAddress(t)
		config += fmt.Sprintf("  - {job_name: %s, scrape_timeout: 500ms, static_configs: [{targets: [%q]}]}\n", job,
			w.addresses[job])
	}
	w.prometheus = prometheus.Start(t, config, alerts.Prometheus(shorter, alerts.Groups()...))
	return w
}

// firing are the alerts of a job that fire, of one service, or of a token of its name, or of none.
func (w *blameWorld) firing(job, service string) []string {
	w.t.Helper()
	var list []string
	for _, s := range w.prometheus.Query(w.t, fmt.Sprintf(`ALERTS{alertstate="firing",burn!="slow",job=%q}`, job)) {
		if s.Labels["service"]+s.Labels["token"] == service {
			list = append(list, s.Labels["alertname"])
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// await waits until exactly the alerts of a fault fire.
func (w *blameWorld) await(m *mishap, job, service string) []string {
	w.t.Helper()
	var got []string
	want := slices.Sorted(slices.Values(m.alerts))
	defer func() {
		if w.t.Failed() {
			w.t.Logf("%s: firing are %q, want %q", m.what, got, want)
		}
	}()
	w.prometheus.Until(w.t, m.what+" is told", func() bool {
		got = w.firing(job, service)
		return slices.Equal(got, want)
	})
	return got
}

// outcome is the label of the newest kind of request of a service.
func outcome(metrics, service, code string) string {
	want := code
	if want == "" {
		want = "ok"
	}
	for _, name := range []string{service, ""} {
		if strings.Contains(metrics, fmt.Sprintf("outcome=%q,service=%q", want, name)) {
			return want
		}
	}
	return "-"
}

// shared has all faults that concern one service at one gate, all at the same time: none is in another's alerts.
func (w *blameWorld) shared() {
	w.t.Helper()
	text := fmt.Sprintf("listen: {gateway: 127.0.0.1:0, admin: %q}\nservices:\n", w.addresses["sallyport"])
	for i, m := range mishaps() {
		text += fmt.Sprintf("  s%d: {%s}\n", i, w.api.fill(m.service))
	}
	b := newBed(w.t, func(string) string { return text })
	a := b.serve()
	var ending []func()
	lanes := make([]*lane, len(mishaps()))
	last := make([]func() seen, len(mishaps()))
	for i, m := range mishaps() {
		l := &lane{w.t, b, a.GatewayURL(), fmt.Sprintf("s%d", i), m.what, b.token}
		call := m.call
		if call == nil {
			call = func(l *lane) seen { return l.get(l.name, l.token) }
		}
		var mu sync.Mutex
		var newest seen
		lanes[i], last[i] = l, func() seen { mu.Lock(); defer mu.Unlock(); return newest }
		ending = append(ending, calls(w.t.Context(), func() {
			got := call(l)
			mu.Lock()
			newest = got
			mu.Unlock()
		}))
	}
	fired := make([][]string, len(lanes))
	for i, m := range mishaps() {
		fired[i] = w.await(&m, "sallyport", lanes[i].name)
	}
	if got := w.firing("sallyport", ""); len(got) > 0 {
		w.t.Errorf("of the gate itself: %q", got)
	}
	for _, end := range ending {
		end()
	}
	metrics := b.scrape(a)
	for i, m := range mishaps() {
		ev := lanes[i].last()
		w.found[m.what] = found{
			last[i](), ev.Code, ev.Blame, string(ev.Kind), outcome(metrics, lanes[i].name, ev.Code), fired[i],
		}
	}
}

// own has the faults of a gate, each at one of its own.
func (w *blameWorld) own() {
	for i, m := range gateMishaps() {
		job := jobs()[i]
		head := fmt.Sprintf("listen: {gateway: 127.0.0.1:0, admin: %q}\n", w.addresses[job])
		b := newBed(w.t, func(string) string {
			return head + m.head + "services:\n" + fmt.Sprintf(service, "crm", w.api.URL, "") + w.api.fill(m.service)
		})
		if m.before != nil {
			m.before(b)
		}
		a, err := app.New(w.t.Context(), b.options())
		if err != nil {
			w.t.Fatal(err)
		}
		if err := a.Start(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = a.Stop(context.WithoutCancel(w.t.Context())) })
		name := m.calls
		if name == "" {
			name = "crm"
		}
		l := &lane{w.t, b, a.GatewayURL(), name, m.what, b.token}
		w.prometheus.Until(w.t, "the gate is scraped", func() bool {
			return len(w.prometheus.Query(w.t, fmt.Sprintf(`up{job=%q} == 1`, job))) == 1
		})
		m.inject(b, a, l)
		var mu sync.Mutex
		var newest seen
		end := calls(w.t.Context(), func() {
			got := l.get(l.name, l.token)
			mu.Lock()
			newest = got
			mu.Unlock()
		})
		fired := w.await(&m.mishap, job, m.about)
		end()
		f := found{seen: newest, alerts: fired, outcome: "-"}
		if ev := l.last(); newest.status != 0 {
			f.code, f.blame, f.event = ev.Code, ev.Blame, string(ev.Kind)
			f.outcome = outcome(b.scrape(a), l.name, codeIn(newest, ev.Code))
		}
		w.found[m.what] = f
		_ = a.Stop(context.WithoutCancel(w.t.Context()))
	}
}

// codeIn is the code of a response that could not be put on record.
func codeIn(s seen, recorded string) string {
	if s.status == http.StatusServiceUnavailable && recorded == "" {
		return "audit_unavailable"
	}
	return recorded
}

var (
	proxyError  = regexp.MustCompile(`(error|received-status)=[a-z_0-9]+`)
	wordsOfN8N  = regexp.MustCompile(`(?m)^\| (\d{3}[^|]*) \| ([^|]+) \| .* \|$`)
	wordsAtCode = regexp.MustCompile(`; at (\d{3}): (.*)$`)
)

// n8nWords is what n8n shows for a status, as docs/n8n-setup.md has it, which e2e holds to a real n8n.
func n8nWords(t *testing.T, status int) string {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "n8n-setup.md"))
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case status == 0:
		return "an error of the connection"
	case status < 400:
		return "nothing: the call went well"
	}
	for _, row := range wordsOfN8N.FindAllStringSubmatch(string(page), -1) {
		at := wordsAtCode.FindStringSubmatch(row[2])
		if at != nil && at[1] == fmt.Sprint(status) {
			return at[2]
		}
		if strings.Contains(row[1], fmt.Sprint(status)) {
			return wordsAtCode.ReplaceAllString(row[2], "")
		}
	}
	return "the API's own words"
}
