package wayout_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/wayout"
)

// settingsOf are the settings of a check in an environment, which tries nothing: its time is over.
func settingsOf(t *testing.T, version string, environment ...string) []wayout.Setting {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	r, err := wayout.Check(ctx, wayout.Options{
		Version: version, ResolvConf: t.TempDir() + "/none",
		Lookup: func(name string) (string, bool) {
			for _, pair := range environment {
				if value, ok := strings.CutPrefix(pair, name+"="); ok {
					return value, true
				}
			}
			return "", false
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Status == wayout.Closed || r.Clean() {
		t.Errorf("nothing was tried, and it is %s", r.Status)
	}
	return r.Settings
}

// TestSettings: each setting that sends calls past the proxy is named, and no other.
func TestSettings(t *testing.T) {
	proxied := []string{
		"HTTPS_PROXY=http://user:canary-password@10.0.0.5:8471", "HTTP_PROXY=http://user:canary-password@10.0.0.5:8471",
		"NO_PROXY=localhost,127.0.0.1,gate.corp,.svc.cluster.local,10.0.0.0/8",
	}
	with := func(more ...string) []string { return append(slices.Clone(more), proxied...) }
	for _, c := range []struct {
		name, version string
		environment   []string
		wrong         []string
	}{
		{"no node at all", "", []string{"PATH=/bin"}, nil},
		{"as it should be", "2.41.1", with("N8N_HOST=a"), nil},
		{"gateway mode", "2.41.1", []string{"N8N_HOST=a"}, nil},
		{"the first version of all processes", "2.36.9", proxied, nil},
		{"an older version", "2.36.8", proxied, []string{"version"}},
		{"a much older version", "1.123.81", proxied, []string{"version"}},
		{"no version", "", proxied, []string{"version"}},
		{"no number", "latest", proxied, []string{"version"}},
		{"main-only", "2.41.1", with("N8N_OUTBOUND_PROXY_MODE=main-only"), []string{"N8N_OUTBOUND_PROXY_MODE"}},
		{"an unknown mode", "2.41.1", with("N8N_OUTBOUND_PROXY_MODE=some"), []string{"N8N_OUTBOUND_PROXY_MODE"}},
		{
			"HTTPS alone", "2.41.1",
			[]string{"HTTPS_PROXY=http://10.0.0.5:8471", "NO_PROXY=localhost"},
			[]string{"HTTPS_PROXY"},
		},
		{"lower case", "2.41.1", with("https_proxy=http://10.0.0.6:3128"), []string{"HTTPS_PROXY"}},
		{"everything round the proxy", "2.41.1", append([]string{"NO_PROXY=*"}, proxied...), []string{"NO_PROXY"}},
		{"a host outside", "2.41.1", append([]string{"NO_PROXY=localhost,.example.com"}, proxied...), []string{"NO_PROXY"}},
		{"an address outside", "2.41.1", append([]string{"NO_PROXY=8.8.8.8"}, proxied...), []string{"NO_PROXY"}},
		{"no exceptions", "2.41.1", proxied[:2], []string{"NO_PROXY"}},
		{"the guard", "2.41.1", with("N8N_SSRF_PROTECTION_ENABLED=true"), []string{"N8N_SSRF_PROTECTION_ENABLED"}},
		{
			"the guard allows another range", "2.41.1",
			with("N8N_SSRF_PROTECTION_ENABLED=true", "N8N_SSRF_ALLOWED_IP_RANGES=192.168.0.0/16"),
			[]string{"N8N_SSRF_PROTECTION_ENABLED"},
		},
		{
			"the guard allows the gate", "2.41.1",
			with("N8N_SSRF_PROTECTION_ENABLED=true", "N8N_SSRF_ALLOWED_IP_RANGES=192.168.0.0/16,10.0.0.0/8"), nil,
		},
		{"debug", "2.41.1", with("N8N_LOG_LEVEL=debug"), []string{"N8N_LOG_LEVEL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var wrong []string
			for _, s := range settingsOf(t, c.version, c.environment...) {
				if !s.OK {
					wrong = append(wrong, s.ID)
				}
				if s.OK == (s.Do != "") {
					t.Errorf("%s: ok is %v, and what to do is %q", s.ID, s.OK, s.Do)
				}
				if strings.Contains(s.Saw+s.Do, "canary-password") {
					t.Errorf("%s quotes the password", s.ID)
				}
			}
			if !slices.Equal(wrong, c.wrong) {
				t.Errorf("wrong are %v, want %v", wrong, c.wrong)
			}
		})
	}
}
