package wayout_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"sallyport/internal/wayout"
)

// cleanReport is a report with every way of this version, all closed.
func cleanReport(t *testing.T, role string) wayout.Report {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	r, err := wayout.Check(ctx, wayout.Options{
		Role: role, ResolvConf: t.TempDir() + "/none",
		Lookup: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Probes {
		p := &r.Probes[i]
		p.Status, p.Close = wayout.Closed, ""
		for j := range p.Attempts {
			p.Attempts[j].Status = wayout.Closed
		}
	}
	r.Status = wayout.Closed
	return r
}

// TestProve: clean runs become a proof that verifies; what is not clean, whole, recent or comparable is refused.
func TestProve(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	prove := func(baseline *wayout.Report, reports ...wayout.Report) (wayout.Proof, error) {
		var runs []wayout.Run
		for _, r := range reports {
			runs = append(runs, wayout.Run{Seen: "file", Report: r})
		}
		return wayout.Prove(wayout.Proving{
			Runs: runs, Baseline: baseline, MaxAge: time.Hour, Now: now, KeyID: "k1", Sign: private,
		})
	}
	main, worker := cleanReport(t, "main"), cleanReport(t, "worker")
	proof, err := prove(nil, main, worker)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(proof, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wayout.VerifyProof(text, public, "k1"); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"another role":    {`"role": "worker"`, `"role": "webhook"`},
		"another time":    {`"time": "` + main.Time.Format(time.RFC3339), `"time": "2031-01-01T00:00:00Z`},
		"another sight":   {`"seen": "file"`, `"seen": "here"`},
		"a removed probe": {`"id": "ssh"`, `"id": "ntp"`},
		"unknown key":     {`"role": "worker"`, `"role": "worker", "more": 1`},
	} {
		changed := bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(changed, text) {
			t.Fatalf("%s: the proof has no %q", name, change[0])
		}
		if _, err := wayout.VerifyProof(changed, public, "k1"); !errors.Is(err, wayout.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := wayout.VerifyProof(append(text, '{', '}'), public, "k1"); !errors.Is(err, wayout.ErrProof) {
		t.Errorf("more behind it: %v", err)
	}
	for name, spoil := range map[string]func(r *wayout.Report){
		"open":          func(r *wayout.Report) { r.Probes[0].Status, r.Status = wayout.Open, wayout.Open },
		"unclear":       func(r *wayout.Report) { r.Probes[0].Status, r.Status = wayout.Unclear, wayout.Unclear },
		"lies":          func(r *wayout.Report) { r.Probes[0].Status = wayout.Open },
		"lies deeper":   func(r *wayout.Report) { r.Probes[0].Attempts[0].Status = wayout.Open },
		"way missing":   func(r *wayout.Report) { r.Probes = r.Probes[1:] },
		"no attempt":    func(r *wayout.Report) { r.Probes[0].Attempts = nil },
		"old":           func(r *wayout.Report) { r.Time = now.Add(-2 * time.Hour) },
		"of tomorrow":   func(r *wayout.Report) { r.Time = now.Add(time.Hour) },
		"wrong setting": func(r *wayout.Report) { r.Settings = append(r.Settings, wayout.Setting{ID: "a"}) },
		"another form":  func(r *wayout.Report) { r.Format = "other" },
		"own targets":   func(r *wayout.Report) { r.Targets = []string{"203.0.113.7"} },
		"twice":         func(r *wayout.Report) { r.Role = "main" },
	} {
		bad := cleanReport(t, "worker")
		spoil(&bad)
		if _, err := prove(nil, main, bad); !errors.Is(err, wayout.ErrNotClean) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := prove(nil); !errors.Is(err, wayout.ErrNotClean) {
		t.Errorf("no run: %v", err)
	}
}

// TestBaseline: a run that says nothing about this check is refused.
func TestBaseline(t *testing.T) {
	for name, spoil := range map[string]func(r *wayout.Report){
		"old":           func(r *wayout.Report) { r.Time = time.Now().Add(-25 * time.Hour) },
		"other targets": func(r *wayout.Report) { r.Targets = []string{"203.0.113.7"} },
		"another form":  func(r *wayout.Report) { r.Format = "other" },
		"from here":     func(r *wayout.Report) { r.Namespace += "" },
	} {
		r := cleanReport(t, "")
		spoil(&r)
		if _, err := wayout.Check(t.Context(), wayout.Options{Baseline: &r}); !errors.Is(err, wayout.ErrBaseline) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
