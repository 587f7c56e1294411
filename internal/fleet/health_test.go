package fleet_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport/internal/fleet"
)

func TestProbe(t *testing.T) {
	statuses := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(statuses[r.URL.Path])
	}))
	defer server.Close()
	host, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	unit := fleet.Unit{Name: "main", Nodes: []fleet.Node{{Name: "one", Address: host}}}
	for name, c := range map[string]struct {
		url                string
		healthz, readiness int
		node               fleet.Node
		want               string
	}{
		"healthy":     {url: server.URL, healthz: 200, readiness: 200},
		"migrating":   {url: server.URL + "/", healthz: 200, readiness: 503, want: "/healthz/readiness answers 503"},
		"starting":    {url: server.URL, healthz: 503, readiness: 200, want: "/healthz answers 503"},
		"redirected":  {url: server.URL, healthz: 302, readiness: 200, want: "/healthz answers 302"},
		"gone":        {url: "http://127.0.0.1:1", want: "/healthz does not answer"},
		"each node":   {url: "http://*:" + port, healthz: 200, readiness: 200},
		"one of them": {url: "http://*:" + port, healthz: 200, readiness: 500, want: "node one: /healthz/readiness answers 500"},
		"not named":   {healthz: 500},
	} {
		t.Run(name, func(t *testing.T) {
			statuses["/healthz"], statuses["/healthz/readiness"] = c.healthz, c.readiness
			err := fleet.Probe{URLs: map[string]string{"main": c.url}}.Healthy(t.Context(), unit)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if err := (fleet.Probe{URLs: map[string]string{"main": "http://*:1"}}).Healthy(t.Context(),
		fleet.Unit{Name: "main", Nodes: []fleet.Node{{Name: "one"}}}); err == nil {
		t.Error("a node without an address was asked")
	}
}

func TestCheckProbe(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://n8n:5678": true, "https://*:5678": true, "http://*": true, "n8n:5678": false, "http://": false,
		"http://user:password@n8n": false, "http://n8n?a=b": false, "ftp://n8n": false,
	} {
		if err := fleet.CheckProbe(text); (err == nil) != ok {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
