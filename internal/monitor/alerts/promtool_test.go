package alerts_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/monitor/alerts"
	"sallyport/internal/testkit"
)

// play is a course of events, step by step, in which an alert is quiet, fires and is resolved.
type play struct {
	alert string
	burn  string
	// series are in promtool's notation: 0x10 is 0, and ten times 0 more.
	series map[string]string
	labels map[string]string // of the alert that fires
	quiet  int               // when it is looked at, in steps
	fires  int
	over   int
	step   int // in minutes; 0: one
}

const (
	of    = `job="sallyport"`
	on    = of + `,instance="a"`
	calls = `sallyport_requests_total{` + on + `,`
)

func labels(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// gauged is a play of one gauge: fine for 10 minutes, then not for 30, then fine.
func gauged(alert, series, fine, broken string, pairs ...string) play {
	return play{
		alert: alert, series: map[string]string{series: fine + "x9 " + broken + "x29 " + fine + "x9"},
		labels: labels(pairs...), quiet: 9, fires: 35, over: 45,
	}
}

func plays() []play {
	list := []play{
		gauged("SallyportDown", `up{`+on+`}`, "1", "0", "job", "sallyport"),
		{
			alert: "SallyportDown", series: map[string]string{`up{` + on + `}`: "1x9 _x29 1x9"},
			quiet: 9, fires: 35, over: 45,
		},
		{
			alert: "SallyportReplicaDown",
			series: map[string]string{
				`up{` + on + `}`: "1x9 0x29 1x9", `up{` + of + `,instance="b"}`: "1x60",
			},
			labels: labels("job", "sallyport", "instance", "a"), quiet: 9, fires: 35, over: 45,
		},
		{
			alert: "SallyportSealed",
			series: map[string]string{
				`sallyport_build_info{` + on + `,version="v1"}`: "1x60",
				`sallyport_audit_healthy{` + on + `}`:           "1x9 stale _x29 1x9",
			},
			labels: labels("job", "sallyport", "instance", "a", "version", "v1"), quiet: 9, fires: 35, over: 45,
		},
		gauged("SallyportAuditUnhealthy", `sallyport_audit_healthy{`+on+`}`, "1", "0", "job", "sallyport", "instance", "a"),
		gauged("SallyportAuditSinkBehind", `sallyport_audit_sink_behind_seconds{`+on+`,sink="siem"}`, "1", "900", "job",
			"sallyport", "instance", "a", "sink", "siem"),
		gauged("SallyportAuditSinkBehind", `sallyport_audit_sink_gap_records{`+on+`,sink="siem"}`, "0", "5", "job",
			"sallyport", "instance", "a", "sink", "siem"),
		gauged("SallyportStoreAway", `sallyport_store_up{`+on+`,store="corp"}`, "1", "0", "job", "sallyport", "store", "corp"),
		gauged("SallyportReplicaBehind", `sallyport_tokens_stale_seconds{`+on+`}`, "1", "40", "job", "sallyport", "instance",
			"a"),
		gauged("SallyportDatabaseAltered", `sallyport_database_rows_refused{`+on+`,table="tokens"}`, "0", "2", "job",
			"sallyport", "table", "tokens"),
		gauged("SallyportDatabaseAltered", `sallyport_database_list_trusted{`+on+`,table="tokens"}`, "1", "0", "job",
			"sallyport", "table", "tokens"),
		gauged("SallyportConfigRefused", `sallyport_config_last_reload_successful{`+on+`}`, "1", "0", "job", "sallyport",
			"instance", "a"),
		gauged("SallyportDegraded", `sallyport_degraded{`+on+`,part="audit rotation"}`, "0", "1", "job", "sallyport",
			"instance", "a", "part", "audit rotation"),
		{
			alert: "SallyportPanics", series: map[string]string{`sallyport_panics_total{` + on + `}`: "0x9 0+1x9 " +
				"10x60"},
			labels: labels("job", "sallyport", "instance", "a"), quiet: 9, fires: 15, over: 45,
		},
		gauged("SallyportCredentialDead", `sallyport_credential_valid{`+on+`,service="crm"}`, "1", "0", "job", "sallyport",
			"service", "crm"),
		gauged("SallyportCredentialDying", `sallyport_derived_token_healthy{`+on+`,service="crm"}`, "1", "0", "job",
			"sallyport", "service", "crm"),
		gauged("SallyportProbeFailing", `sallyport_probe_success{`+on+`,service="crm"}`, "1", "0", "job", "sallyport",
			"service", "crm"),
		gauged("SallyportCredentialExpiring", `sallyport_credential_expiry_timestamp_seconds{`+on+`,service="crm"}`,
			"9000000", "1000000", "job", "sallyport", "service", "crm"),
		gauged("SallyportMasterKeyMismatch", `sallyport_n8n_key_match{`+on+`,node="worker"}`, "1", "0", "job",
			"sallyport", "node", "worker"),
		{
			alert:  "SallyportMasterKeyMismatch",
			series: map[string]string{`sallyport_n8n_problems_total{` + on + `,node="w",problem="key_mismatch"}`: "0x9 0+1x9 10x60"},
			labels: labels("job", "sallyport", "node", "w"), quiet: 9, fires: 15, over: 45,
		},
		{
			alert:  "SallyportN8NCredential",
			series: map[string]string{`sallyport_n8n_problems_total{` + on + `,node="w",problem="credential_missing"}`: "0x9 0+1x9 10x60"},
			labels: labels("job", "sallyport", "node", "w", "problem", "credential_missing"),
			quiet:  9, fires: 15, over: 45,
		},
		gauged("SallyportN8NLogAway", `sallyport_n8n_log_readable{`+on+`,node="worker"}`, "1", "0", "job",
			"sallyport", "instance", "a", "node", "worker"),
		{ // a token of 50 hours: a fifth of it is 10 hours
			alert: "SallyportTokenExpiring", step: 15,
			series: map[string]string{
				`sallyport_token_expiry_seconds{` + on + `,token="n8n"}`: "180000-900x199 180000-900x20",
				`sallyport_token_age_seconds{` + on + `,token="n8n"}`:    "0+900x199 0+900x20",
			},
			labels: labels("job", "sallyport", "token", "n8n"), quiet: 140, fires: 180, over: 205,
		},
		{ // and what has expired stays told
			alert: "SallyportTokenExpiring",
			series: map[string]string{
				`sallyport_token_expiry_seconds{` + on + `,token="n8n"}`: "3600-60x80 3600-60x10",
				`sallyport_token_age_seconds{` + on + `,token="n8n"}`:    "0+60x80 0+60x10",
			},
			labels: labels("job", "sallyport", "token", "n8n"), quiet: 20, fires: 75, over: 85,
		},
		{
			alert: "SallyportTokenOverdue",
			series: map[string]string{ // due at minute 10; rotated at minute 40
				`sallyport_rotation_due_timestamp_seconds{` + on + `,token="n8n"}`: "600x39 90000x60",
			},
			labels: labels("job", "sallyport", "token", "n8n"), quiet: 15, fires: 35, over: 45,
		},
		{
			alert: "SallyportTokenRotationFailing",
			series: map[string]string{
				`sallyport_rotation_failed_total{` + on + `,token="n8n"}`:          "0x10 1x10 2x20 2x60",
				`sallyport_rotation_due_timestamp_seconds{` + on + `,token="n8n"}`: "600x39 90000x60",
			},
			labels: labels("job", "sallyport", "token", "n8n"), quiet: 10, fires: 35, over: 45,
		},
		{
			alert: "SallyportRotationStuck",
			series: map[string]string{
				`sallyport_rotation_began_timestamp_seconds{` + on + `,token="n8n"}`: "_x9 600x29 stale _x9",
			},
			labels: labels("job", "sallyport", "token", "n8n"), quiet: 20, fires: 35, over: 45,
		},
	}
	return append(append(list, rotating()...), burning()...)
}

// rotating are the plays of rotations of secrets.
func rotating() []play {
	const rotation = `{` + on + `,rotation="crm"`
	state := func(name string) string {
		return `sallyport_secret_rotation_state` + rotation + `,state="` + name + `"}`
	}
	of := labels("job", "sallyport", "rotation", "crm")
	return []play{
		gauged("SallyportSecretRotationFailing", `sallyport_secret_rotation_failing`+rotation+`}`, "0", "1",
			"job", "sallyport", "rotation", "crm"),
		{
			alert: "SallyportSecretRotationStuck", labels: of, quiet: 9, fires: 35, over: 45,
			series: map[string]string{
				state("running"): "1x9 stale _x40", state("stuck"): "_x10 1x29 stale _x9", state("done"): "_x39 1x20",
			},
		},
		{ // and what is under way for too long
			alert: "SallyportSecretRotationStuck", labels: of, quiet: 20, fires: 35, over: 45, step: 15,
			series: map[string]string{
				state("running"): "1x39 stale _x20", state("waiting"): "_x39 1x20",
				`sallyport_secret_rotation_began_timestamp_seconds` + rotation + `}`: "0x60",
			},
		},
		{ // a run that waits for its grace time only is none of it
			alert: "SallyportSecretRotationWaiting", labels: of, quiet: 70, fires: 75, over: 85, step: 60,
			series: map[string]string{
				`sallyport_secret_rotation_waiting_consumers` + rotation + `}`:       "3x79 0x20",
				`sallyport_secret_rotation_began_timestamp_seconds` + rotation + `}`: "0x100",
			},
		},
		{ // due at minute 10, begun at minute 80
			alert: "SallyportSecretRotationOverdue", labels: of, quiet: 65, fires: 78, over: 85,
			series: map[string]string{
				`sallyport_secret_rotation_due_timestamp_seconds` + rotation + `}`: "600x79 90000x60",
			},
		},
	}
}

// burning are the plays of the SLOs. In each, every call fails for half an hour, or five times as many as may, for ten
// hours.
func burning() (list []play) {
	for _, s := range []struct {
		alert, failing, service string
		works                   int // calls for each five that fail
	}{
		{"SallyportFailing", `outcome="internal",blame="sallyport"`, "", 995},
		{"SallyportAPIFailing", `outcome="upstream_5xx",blame="upstream"`, "crm", 95},
		{"SallyportCredentialFailing", `outcome="credential_rejected",blame="credential"`, "crm", 95},
	} {
		want := labels("job", "sallyport")
		if s.service != "" {
			want["service"] = s.service
		}
		ok, failing := calls+`service="crm",outcome="ok",blame="none"}`, calls+`service="crm",`+s.failing+`}`
		list = append(list,
			play{
				alert: s.alert, burn: "fast", labels: want, quiet: 20, fires: 40, over: 95,
				series: map[string]string{ok: "0+60x20 1200x30 1200+60x60", failing: "0x20 0+60x30 1800x60"},
			},
			play{
				alert: s.alert, burn: "slow", labels: want, quiet: 20, fires: 50, over: 95, step: 15,
				series: map[string]string{ok: fmt.Sprintf("0+%dx120", s.works), failing: "0x20 0+5x40 200x60"},
			})
	}
	return append(list, play{ // no gate at all
		alert: "SallyportFailing", burn: "fast", labels: labels("job", "sallyport"), quiet: 20, fires: 40, over: 95,
		series: map[string]string{`up{` + on + `}`: "1x20 0x30 1x60"},
	})
}

// looks are when a play is looked at, and which alerts of its name fire then. What burns a budget quickly burns it
// slowly, too, and for longer.
func (p play) looks() map[int][]string {
	switch p.burn {
	case "fast":
		return map[int][]string{p.quiet: nil, p.fires: {"fast", "slow"}, p.over: {"slow"}}
	default:
		return map[int][]string{p.quiet: nil, p.fires: {p.burn}, p.over: nil}
	}
}

func find(t *testing.T, name, burn string) alerts.Alert {
	t.Helper()
	for _, a := range alerts.All() {
		if a.Name == name && a.Burn == burn {
			return a
		}
	}
	t.Fatalf("there is no alert %s %s", name, burn)
	return alerts.Alert{}
}

// text is the play as a test of promtool.
func (p play) text(t *testing.T) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - interval: %dm\n    input_series:\n", max(p.step, 1))
	for name, values := range p.series {
		fmt.Fprintf(&b, "      - {series: '%s', values: '%s'}\n", name, values)
	}
	b.WriteString("    alert_rule_test:\n")
	for look, fires := range p.looks() {
		fmt.Fprintf(&b, "      - eval_time: %dm\n        alertname: %s\n        "+
			"exp_alerts:\n", look*max(p.step, 1), p.alert)
		for _, burn := range fires {
			b.WriteString(p.expected(find(t, p.alert, burn)))
		}
	}
	return b.String()
}

// expected is an alert that fires.
func (p play) expected(a alerts.Alert) string {
	var b strings.Builder
	fmt.Fprintf(&b, "          - exp_labels: {severity: %s", a.Severity)
	if a.Burn != "" {
		fmt.Fprintf(&b, ", burn: %s", a.Burn)
	}
	summary, detail := a.Summary, a.Detail
	for name, value := range p.labels {
		fmt.Fprintf(&b, ", %s: %q", name, value)
		summary = strings.ReplaceAll(summary, "{{ $labels."+name+" }}", value)
		detail = strings.ReplaceAll(detail, "{{ $labels."+name+" }}", value)
	}
	fmt.Fprintf(&b, "}\n            exp_annotations: {summary: %q, description: %q, runbook: "+
		"%s}\n", summary, detail, a.Runbook())
	return b.String()
}

// TestPromtool: Prometheus's own tool takes the rules, and each alert is quiet, fires and is resolved in a play.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	testkit.RequireTool(t, "promtool", err == nil, "apt-get install prometheus")
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yml")
	if err := os.WriteFile(rules, alerts.Prometheus(1, alerts.Groups()...), 0o600); err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), promtool, "check", "rules", rules)
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	played, tests := map[string]bool{}, map[string]string{}
	for _, p := range plays() {
		played[p.alert+p.burn] = true
		head := fmt.Sprintf("rule_files: [%s.yml]\nevaluation_interval: "+
			"%dm\ntests:\n", groupOf(p.alert), max(p.step, 1))
		tests[head] += p.text(t)
	}
	for _, a := range alerts.All() {
		if !played[a.Name+a.Burn] {
			t.Errorf("%s %s has no play", a.Name, a.Burn)
		}
	}
	for _, g := range alerts.Groups() { // each by itself, so that no play evaluates what it does not need
		if err := os.WriteFile(filepath.Join(dir, g.Name+".yml"), alerts.Prometheus(1, g), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for head, text := range tests {
		file := filepath.Join(dir, "test.yml")
		if err := os.WriteFile(file, []byte(head+text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", file).CombinedOutput()
		if err != nil {
			t.Errorf("%s%v\n%s", head, err, out)
		}
	}
}

// groupOf is the group that has an alert.
func groupOf(alert string) string {
	for _, g := range alerts.Groups() {
		for _, a := range g.Alerts {
			if a.Name == alert {
				return g.Name
			}
		}
	}
	return ""
}
