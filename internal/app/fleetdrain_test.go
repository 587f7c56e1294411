package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"sallyport/internal/app"
)

// TestFleetDrains: a fleet with `drain` asks n8n with the key that the store has at that moment.
func TestFleetDrains(t *testing.T) {
	n8n := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/executions" || r.Header.Get("X-N8N-API-KEY") != "key-canary" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"data":[{"id":1},{"id":2}]}`))
	}))
	t.Cleanup(n8n.Close)
	b := newBed(t, func(string) string {
		return fmt.Sprintf("fleets:\n  prod: {kind: command, units: [{name: n8n, restart: [a], status: [b]}], "+
			"drain: {url: %s, api_key: ref+builtin://n8n-executions, timeout: 7m, required: true}}\n", n8n.URL)
	})
	b.put("n8n-executions", "another")
	state, err := app.Open(t.Context(), b.options().Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	f, err := state.OpenFleet(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if n, err := f.Busy.Running(t.Context()); err == nil {
		t.Errorf("with another key it tells of %d", n)
	}
	if !f.Limits.MustDrain || f.Limits.Drain.Minutes() != 7 {
		t.Errorf("the limits are %+v", f.Limits)
	}
	b.put("n8n-executions", "key-canary")
	if n, err := f.Busy.Running(t.Context()); err != nil || n != 2 {
		t.Errorf("got %d, %v", n, err)
	}
}
