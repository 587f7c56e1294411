package alerts_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/monitor/alerts"
)

var update = flag.Bool("update", false, "write what is generated under deploy/")

// generated is what is made of the table, by its path under deploy/.
func generated(t *testing.T) map[string][]byte {
	t.Helper()
	list := map[string][]byte{"prometheus/sallyport.rules.yml": alerts.Prometheus(1, alerts.Groups()...)}
	for name, make := range map[string]func() ([]byte, error){
		"grafana/sallyport.dashboard.json": alerts.Dashboard, "grafana/sallyport.alerts.json": alerts.Grafana,
		"datadog/sallyport.monitors.json": alerts.Datadog,
	} {
		text, err := make()
		if err != nil {
			t.Fatal(err)
		}
		list[name] = text
	}
	return list
}

// TestGenerated: what is under deploy/ is what the table says.
func TestGenerated(t *testing.T) {
	for name, want := range generated(t) {
		path := filepath.Join("..", "..", "..", "deploy", filepath.FromSlash(name))
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("deploy/%s is out of date; run `make generate` (-table +file):\n%s", name, diff)
		}
	}
}
