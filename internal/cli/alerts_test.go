package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/cli"
	"sallyport/internal/monitor/alerts"
	"sallyport/internal/testkit/prometheus"
)

// shorter is how many times shorter the times of the alerts are here: 5 minutes are 2 seconds.
const shorter = 150

// TestAlertsInPrometheus: a real Prometheus watches real gates by the rules, with the same expressions and shorter
// times. What goes wrong is told by its alert, and by no other party's; when it is mended, the alert is resolved.
func TestAlertsInPrometheus(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	w.quiet()
	w.partiesFail()
	w.gateIsKilled()
}

// watch is two gates, the APIs that they call, and Prometheus.
type watch struct {
	t          *testing.T
	api        *unreliable
	one, two   *watched
	prometheus *prometheus.Server
}

func newWatch(t *testing.T) *watch {
	t.Helper()
	w := &watch{t: t, api: newUnreliable(t)}
	w.one, w.two = newWatched(t, w.api.URL), newWatched(t, w.api.URL)
	w.prometheus = prometheus.Start(t, fmt.Sprintf(`global: {scrape_interval: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yml]
scrape_configs:
  - {job_name: sallyport, scrape_timeout: 200ms, static_configs: [{targets: [%q]}]}
  - {job_name: sallyport-two, scrape_timeout: 200ms, static_configs: [{targets: [%[1]q, %[2]q]}]}
`, w.one.admin, w.two.admin), alerts.Prometheus(shorter, alerts.Groups()...))
	w.one.start()
	w.two.start()
	w.traffic()
	return w
}

// traffic calls all services through the first gate until the test ends, whatever comes of it.
func (w *watch) traffic() {
	ctx, stop := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	for _, service := range []string{"crm", "mail", "lark"} {
		all.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				<-tick.C
				w.one.call(ctx, service)
			}
		})
	}
	w.t.Cleanup(all.Wait)
	w.t.Cleanup(stop)
}

// firing are the alerts that fire in a job, with a label's value behind those of one party: SallyportAPIFailing/crm.
func (w *watch) firing(job string) []string {
	w.t.Helper()
	var list []string
	for _, s := range w.prometheus.Query(w.t, fmt.Sprintf(`ALERTS{alertstate="firing",burn!="slow",job=%q}`, job)) {
		name := s.Labels["alertname"]
		for _, label := range []string{"service", "token", "store", "table", "part"} {
			if value := s.Labels[label]; value != "" {
				name += "/" + value
			}
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// until waits until exactly these alerts fire.
func (w *watch) until(job string, want ...string) {
	w.t.Helper()
	slices.Sort(want)
	var got []string
	defer func() {
		if w.t.Failed() {
			w.t.Logf("%s: firing are %q, want %q\n%s\n%s", job, got, want, w.one.log(), w.two.log())
		}
	}()
	w.prometheus.Until(w.t, fmt.Sprintf("%q fire", want), func() bool {
		got = w.firing(job)
		return slices.Equal(got, want)
	})
}

// quiet: nothing fires while all is well.
func (w *watch) quiet() {
	w.t.Helper()
	w.prometheus.Until(w.t, "all is recorded", func() bool {
		return len(w.prometheus.Query(w.t, `sallyport:api_errors:ratio_rate5m{job="sallyport"}`)) == 3
	})
	w.until("sallyport")
}

// partiesFail has everything fail that is not the gate. None of it is in the gate's own budget.
func (w *watch) partiesFail() {
	w.t.Helper()
	w.api.broken.Store(true)
	w.one.command("", "token", "issue", "short", "--services", "*", "--expires", "4s")
	w.one.command("", "token", "issue", "late", "--services", "*", "--expires", "1s")
	w.one.write(w.one.config + `tokens: {late: {services: ["*"], rotate: {every: 24h}}}` + "\n")
	w.prometheus.Until(w.t, "the rotation that nothing is configured for is tried, and the token cannot be refreshed",
		func() bool {
			firing := w.firing("sallyport")
			return slices.Contains(firing, "SallyportTokenRotationFailing/late") &&
				slices.Contains(firing, "SallyportCredentialDying/lark")
		})
	w.one.rename("corp", "corp.away")
	w.one.alter("DELETE FROM proxy_token WHERE name = 'spare'")
	w.one.write("services: {crm: {upstream: nonsense}}\n")
	w.until("sallyport",
		"SallyportAPIFailing/crm", "SallyportCredentialFailing/mail", "SallyportCredentialDead/mail",
		"SallyportCredentialDying/lark", "SallyportCredentialDead/lark", "SallyportCredentialFailing/lark",
		"SallyportTokenExpiring/short", "SallyportTokenExpiring/late",
		"SallyportTokenOverdue/late", "SallyportTokenRotationFailing/late", "SallyportStoreAway/corp",
		"SallyportDatabaseAltered/tokens", "SallyportConfigRefused")
	w.never(`sallyport:gate_requests:ratio_rate5m{job="sallyport"} > 0`)

	w.panels()

	w.api.broken.Store(false)
	w.one.command("", "token", "revoke", "short")
	w.one.command("", "token", "revoke", "late")
	w.one.rename("corp.away", "corp")
	w.one.command("", "database", "accept", "--yes")
	w.one.write(w.one.config)
	w.until("sallyport")
}

// gateIsKilled: that is in no API's and no credential's budget, and Sallyport's own alone. The second gate is then the
// replica that is left.
func (w *watch) gateIsKilled() {
	w.t.Helper()
	w.one.kill()
	w.until("sallyport", "SallyportDown", "SallyportFailing")
	w.until("sallyport-two", "SallyportReplicaDown")
	w.one.start()
	w.until("sallyport")

	w.two.rename("sallyport-data/sallyport.db", "away.db")
	w.until("sallyport-two", "SallyportReplicaBehind")
	w.two.rename("away.db", "sallyport-data/sallyport.db")
	w.until("sallyport-two")

	w.two.kill()
	w.two.rename("sallyport-data/seal.key", "away.key")
	w.two.start("--start-sealed")
	w.until("sallyport-two", "SallyportSealed")
	w.two.rename("away.key", "sallyport-data/seal.key")
	w.until("sallyport-two")
}

// panels: each panel of the dashboard shows something.
func (w *watch) panels() {
	w.t.Helper()
	for title, query := range alerts.Queries("sallyport", "5s") {
		if len(w.prometheus.Query(w.t, query)) == 0 {
			w.t.Errorf("the panel %q is empty: %s", title, query)
		}
	}
}

// never wants an expression to have had no answer since Prometheus has been running.
func (w *watch) never(expr string) {
	w.t.Helper()
	if got := w.prometheus.Query(w.t, "count_over_time(("+expr+")[10m:200ms])"); len(got) > 0 {
		w.t.Errorf("it was so that %s: %v", expr, got)
	}
}

// unreliable is three APIs and a token endpoint, which can be broken, each in a way of its own.
type unreliable struct {
	*httptest.Server

	broken atomic.Bool
}

func newUnreliable(t *testing.T) *unreliable {
	t.Helper()
	u := &unreliable{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		broken := u.broken.Load()
		switch {
		case r.URL.Path == "/token" && !broken:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token": "token-of-the-provider", "token_type": "Bearer", "expires_in": 10}`)
		case r.URL.Path == "/token", r.URL.Path == "/crm" && broken:
			w.WriteHeader(http.StatusInternalServerError)
		case r.URL.Path == "/mail" && broken:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("X-Key-Expires", time.Now().Add(365*24*time.Hour).UTC().Format(time.RFC3339))
			fmt.Fprint(w, "fine")
		}
	}))
	t.Cleanup(u.Close)
	return u
}

// watched is a gate in a process of its own, with its folder.
type watched struct {
	t              *testing.T
	dir, config    string
	gateway, admin string
	token          string
	process        *exec.Cmd
	mu             sync.Mutex
	said           *gateLog
}

func newWatched(t *testing.T, api string) *watched {
	t.Helper()
	g := &watched{t: t, dir: t.TempDir(), gateway: prometheus.FreeAddress(t), admin: prometheus.FreeAddress(t)}
	g.config = fmt.Sprintf(`listen: {gateway: %q, admin: %q}
stores: {corp: {kind: file, dir: %q}}
rotations: {crm: {secret: ref+builtin://key, driver: {kind: generate}}}
probes: {every: 1m}
services:
  crm: {upstream: %[4]s, credential: {kind: bearer, secret: ref+builtin://key}, allow_private: [127.0.0.1/32]}
  mail: {upstream: %[4]s, credential: {kind: bearer, secret: ref+builtin://key}, allow_private: [127.0.0.1/32]}
  erp:
    upstream: %[4]s
    credential: {kind: bearer, secret: ref+corp://key}
    allow_private: [127.0.0.1/32]
    test: {path: /erp, expires: {header: X-Key-Expires}}
  lark:
    upstream: %[4]s
    allow_private: [127.0.0.1/32]
    credential: {kind: oauth2_client_credentials, token_url: /token, client_id: n8n, client_secret: ref+builtin://key}
`, g.gateway, g.admin, filepath.Join(g.dir, "corp"), api)
	write(t, filepath.Join(g.dir, "corp", "key"), "sk-canary-of-the-alerts", 0o600)
	g.write(g.config)
	g.command("", "init")
	g.command("sk-canary-of-the-alerts", "secret", "set", "key")
	g.command("", "token", "issue", "spare", "--services", "*")
	g.token = g.command("", "token", "issue", "n8n", "--services", "*", "--expires", "30d")
	t.Cleanup(g.kill)
	return g
}

func (g *watched) path() string { return filepath.Join(g.dir, "sallyport.yaml") }

// write puts a configuration in place of the one that is there.
func (g *watched) write(text string) {
	g.t.Helper()
	write(g.t, g.path()+".new", text, 0o600)
	g.rename("sallyport.yaml.new", "sallyport.yaml")
}

func (g *watched) rename(from, to string) {
	g.t.Helper()
	if err := os.Rename(filepath.Join(g.dir, from), filepath.Join(g.dir, to)); err != nil {
		g.t.Fatal(err)
	}
}

// alter writes to the database as no Sallyport does.
func (g *watched) alter(statement string) {
	g.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(g.dir, "sallyport-data", "sallyport.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		g.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(g.t.Context(), statement); err != nil {
		g.t.Fatal(err)
	}
}

// command runs a command, and returns what it prints.
func (g *watched) command(stdin string, args ...string) string {
	g.t.Helper()
	var out, errs bytes.Buffer
	if exit := cli.Main(g.t.Context(), append(args, "--config", g.path()),
		cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs}); exit != 0 {
		g.t.Fatalf("%v: exit code %d: %s", args, exit, &errs)
	}
	return strings.TrimSpace(out.String())
}

func (g *watched) start(flags ...string) {
	g.t.Helper()
	program, err := exec.LookPath("sallyport")
	if err != nil {
		g.t.Fatal(err)
	}
	g.process = exec.Command(program, append([]string{"serve", "--config", g.path()}, flags...)...)
	stderr, err := g.process.StderrPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.process.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.said = newGateLog(bufio.NewScanner(stderr))
}

func (g *watched) kill() {
	if g.process == nil {
		return
	}
	_ = g.process.Process.Kill()
	_ = g.said.wait(g.process)
	g.process = nil
}

// log is what the gate has said.
func (g *watched) log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var kept strings.Builder
	for line := range strings.Lines(g.said.text()) {
		if !strings.Contains(line, "audit checkpoint") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// call sends what n8n sends. Nobody is interested in the answer.
func (g *watched) call(ctx context.Context, service string) {
	url := "http://" + g.gateway + "/s/" + service + "/" + service
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		g.t.Error(err)
		return
	}
	req.Header.Set("X-Sallyport-Token", g.token)
	if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
		_ = resp.Body.Close()
	}
}
