package app_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/fault"
	"sallyport/internal/monitor/probe"
)

// TestProbes: what a running gate probes by itself is on record as a probe's, in no metric of callers, and told; a key
// that is dead shows without any call, and shows as mended when another one is set.
func TestProbes(t *testing.T) {
	const live = "sk-live-canary-2"
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Expires", "2031-02-03")
		if r.Header.Get("Authorization") != "Bearer "+live {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(api.Close)
	b := newBed(t, func(string) string {
		return listen + "probes: {every: 1h}\nservices:\n" +
			fmt.Sprintf(service, "crm", api.URL, ", test: {path: /me, expires: {header: X-Expires}}") +
			fmt.Sprintf(service, "quiet", api.URL, ", test: {path: /me}, probe: {off: true}") +
			fmt.Sprintf(service, "rules", api.URL, `, test: {path: /me}, allow: ["POST /x"]`)
	})
	gate := b.serve()
	b.until("the dead key is told", func() bool {
		return strings.Contains(b.scrape(gate), `sallyport_credential_valid{service="crm"} 0`)
	})
	page := b.scrape(gate)
	for _, want := range []string{
		`sallyport_upstream_up{service="crm"} 1`, `sallyport_probe_success{service="crm"} 0`,
		`sallyport_probes_total{verdict="refused"} 1`, `sallyport_credential_valid{service="quiet"} 1`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	for _, never := range []string{
		"sallyport_requests_total{", `probe_success{service="quiet"}`, `probe_success{service="rules"}`,
	} {
		if strings.Contains(page, never) {
			t.Errorf("/metrics has %s", never)
		}
	}
	b.put("crm", live)
	b.until("the new key is told, and when it expires", func() bool {
		page := b.scrape(gate)
		return strings.Contains(page, `sallyport_credential_valid{service="crm"} 1`) &&
			strings.Contains(page, `sallyport_credential_expiry_timestamp_seconds{service="crm"} 1.9278432e+09`)
	})
	shown, err := app.Probes(t.Context(), b.load())
	if err != nil || shown["crm"].Result == nil || shown["crm"].Result.Verdict != probe.Works ||
		!strings.Contains(shown["rules"].Why, "allow rules") {
		t.Errorf("%+v, %v", shown, err)
	}
	wantProbesOnRecord(t, b)
}

// wantProbesOnRecord wants two uses by the probe, with what became of them, and none of anybody else.
func wantProbesOnRecord(t *testing.T, b *bed) {
	t.Helper()
	data, err := os.ReadFile(b.load().Audit.File)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for line := range bytes.Lines(data) {
		r, err := audit.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if ev := r.Event; ev.Kind != audit.KindAdmin && ev.Service != "" {
			text := fmt.Sprint(ev.Kind, " ", ev.Label, " ", ev.Service, " ", ev.Method, " ", ev.Path, " ", ev.Code)
			kinds[strings.TrimSpace(text)]++
		}
	}
	for kind, n := range map[string]int{
		"authorised probe crm GET /me": 2, "completed probe crm GET /me": 1,
		"completed probe crm GET /me credential_rejected": 1,
	} {
		if kinds[kind] != n {
			t.Errorf("%q is on record %d times, want %d: %v", kind, kinds[kind], n, kinds)
		}
		delete(kinds, kind)
	}
	if len(kinds) > 0 {
		t.Errorf("on record besides: %v", kinds)
	}
}

// TestProbesNameNoOtherMethod: what the query of a test call asks for is held to GET and HEAD, too.
func TestProbesNameNoOtherMethod(t *testing.T) {
	var called atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	t.Cleanup(api.Close)
	b := newBed(t, func(string) string {
		return listen + "probes: {every: 1h}\nservices:\n" +
			fmt.Sprintf(service, "crm", api.URL, ", test: {path: /me?_method=DELETE}")
	})
	gate := b.serve()
	b.until("the probe is refused", func() bool {
		return strings.Contains(b.scrape(gate), `sallyport_probes_total{verdict="not made"} 1`)
	})
	shown, err := app.Probes(t.Context(), b.load())
	if err != nil || called.Load() != 0 || shown["crm"].Result.Code != fault.RequestDenied {
		t.Errorf("%d calls, %+v, %v", called.Load(), shown["crm"].Result, err)
	}
}
