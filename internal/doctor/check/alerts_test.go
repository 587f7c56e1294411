package check_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/monitor/alerts"
	"sallyport/internal/testkit/prometheus"
)

func prometheusAt(t *testing.T, address string) *site.Site {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &site.Site{Prometheus: site.Endpoint{URL: u}}
}

// TestAlerts asks a real Prometheus: with the rules of this version, and with less than that.
func TestAlerts(t *testing.T) {
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "sallyport_build_info 1\n")
	}))
	defer metrics.Close()
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n"+
		"scrape_configs: [{job_name: sallyport, static_configs: [{targets: [%q]}]}]\n",
		strings.TrimPrefix(metrics.URL, "http://"))
	managed := "alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:9']}]}]}\n"

	full := prometheus.Start(t, config+managed, alerts.Prometheus(1, alerts.Groups()...))
	evaluated(t, full, len(alerts.Groups()))
	r := one(t, "alerts", prometheusAt(t, full.URL))
	if r.Status != doctor.OK {
		t.Errorf("got %+v", r.Seen)
	}

	groups := alerts.Groups()
	groups[len(groups)-1].Alerts = groups[len(groups)-1].Alerts[:1]
	less := prometheus.Start(t, strings.Replace(config, "job_name: sallyport", "job_name: gate", 1),
		alerts.Prometheus(1, groups...))
	evaluated(t, less, len(groups))
	r = one(t, "alerts", prometheusAt(t, less.URL))
	missing := "" // which are there grows with the table
	for _, s := range r.Seen {
		if strings.Contains(s.Evidence, "are not loaded: ") {
			missing = s.Evidence
		}
	}
	golden(t, "alerts", r, missing, "N of N alerts are not loaded: NAMES", strings.TrimPrefix(less.URL, "http://"),
		"ADDRESS")
	has(t, r, doctor.Failed, "alerts are not loaded")
	has(t, r, doctor.Failed, "to no Alertmanager")
	has(t, r, doctor.Failed, "no job whose name begins with sallyport")
}

// evaluated waits until Prometheus has evaluated each of its rules and scraped its target.
func evaluated(t *testing.T, server *prometheus.Server, groups int) {
	t.Helper()
	server.Until(t, "every rule was evaluated", func() bool {
		text := got(t, server.URL+"/api/v1/rules")
		return strings.Count(text, `"file"`) >= groups && !strings.Contains(text, `"health":"unknown"`) &&
			strings.Contains(got(t, server.URL+"/api/v1/targets"), `"health":"up"`)
	})
}

func got(t *testing.T, address string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !json.Valid(text) {
		t.Fatalf("%v: %.100s", err, text)
	}
	return string(text)
}

// TestAlertsOfStrangers: what is no Prometheus, or one that denies, hangs or floods, is no reason for green.
func TestAlertsOfStrangers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"denies":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, canary, http.StatusForbidden) },
		"web page": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>"+canary) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"floods": func(w http.ResponseWriter, _ *http.Request) {
			for range 20 {
				_, _ = w.Write(bytes.Repeat([]byte(" "), 1<<20))
			}
		},
		"breaks off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			if r := one(t, "alerts", prometheusAt(t, server.URL)); r.Status != doctor.Unseen {
				t.Errorf("got %+v", r.Seen)
			}
		})
	}
	// one that has nothing loaded answers well, and that is a finding
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"success","data":{}}`)
	}))
	defer empty.Close()
	if r := one(t, "alerts", prometheusAt(t, empty.URL)); r.Status != doctor.Failed {
		t.Errorf("got %+v", r.Seen)
	}
}
