package alerts

import (
	"encoding/json"
	"fmt"
	"slices"
)

// panel is one graph of the dashboard.
type panel struct {
	title string
	unit  string // as Grafana names it
	row   string // set on the first panel of a row
	query string
	by    string // legend
}

func panels() []panel { return slices.Concat(callPanels(), rotationPanels(), partPanels()) }

// callPanels are of calls, and of what they need.
func callPanels() []panel {
	return []panel{
		{
			row: "Whose fault", title: "Calls by whose fault", unit: "reqps", by: "{{blame}}",
			query: `sum by (blame) (rate(sallyport_requests_total{job=~"$job"}[$__rate_interval]))`,
		},
		{
			title: "Calls by service", unit: "reqps", by: "{{service}}",
			query: `sum by (service) (rate(sallyport_requests_total{job=~"$job"}[$__rate_interval]))`,
		},
		{
			title: "Calls by outcome", unit: "reqps", by: "{{outcome}}",
			query: `sum by (outcome) (rate(sallyport_requests_total{job=~"$job",outcome!="ok"}[$__rate_interval]))`,
		},
		{
			row: "Error budgets", title: "Sallyport: share of calls that it failed, 1 " +
				"h", unit: "percentunit", by: "{{job}}",
			query: `sallyport:gate_errors:ratio_rate1h{job=~"$job"}`,
		},
		{
			title: "Each API: share of calls that it failed, 1 h", unit: "percentunit", by: "{{service}}",
			query: `sallyport:api_errors:ratio_rate1h{job=~"$job"}`,
		},
		{
			title: "Each credential: share of calls that it failed, 1 h", unit: "percentunit", by: "{{service}}",
			query: `sallyport:credential_errors:ratio_rate1h{job=~"$job"}`,
		},
		{
			row: "Time", title: "What the gate adds, 99 %", unit: "s", by: "{{job}}",
			query: `histogram_quantile(0.99, sum by (job, le) (rate(sallyport_gate_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))`,
		},
		{
			title: "How slow each API is, 99 %", unit: "s", by: "{{service}}",
			query: `histogram_quantile(0.99, sum by (service, le) (rate(sallyport_upstream_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))`,
		},
		{
			title: "Calls under way", unit: "short", by: "{{instance}}",
			query: `sallyport_in_flight_requests{job=~"$job"}`,
		},
		{
			row: "Credentials and tokens", title: "Credentials that work", unit: "bool_yes_no", by: "{{service}}",
			query: `min by (service) (sallyport_credential_valid{job=~"$job"})`,
		},
		{
			title: "APIs that respond to probes", unit: "bool_yes_no", by: "{{service}}",
			query: `min by (service) (sallyport_upstream_up{job=~"$job"})`,
		},
		{
			title: "Credentials: time left", unit: "s", by: "{{service}}",
			query: `min by (service) (sallyport_credential_expiry_timestamp_seconds{job=~"$job"}) - time()`,
		},
		{
			title: "Proxy tokens: time left", unit: "s", by: "{{token}}",
			query: `max by (token) (sallyport_token_expiry_seconds{job=~"$job"})`,
		},
		{
			title: "Proxy tokens: age", unit: "s", by: "{{token}}",
			query: `max by (token) (sallyport_token_age_seconds{job=~"$job"})`,
		},
	}
}

// partPanels are of what the gate needs, and of the gate itself.
func partPanels() []panel {
	return []panel{
		{
			row: "Stores, audit, replicas", title: "Stores that answer", unit: "bool_yes_no", by: "{{store}}",
			query: `min by (store) (sallyport_store_up{job=~"$job"})`,
		},
		{
			title: "Records without a checkpoint", unit: "short", by: "{{instance}}",
			query: `sallyport_audit_unanchored_records{job=~"$job"}`,
		},
		{
			title: "Time since every revocation was known", unit: "s", by: "{{instance}}",
			query: `sallyport_tokens_stale_seconds{job=~"$job"}`,
		},
		{
			title: "Parts that are away", unit: "short", by: "{{part}}",
			query: `max by (part) (sallyport_degraded{job=~"$job"})`,
		},
		{
			title: "Versions", unit: "short", by: "{{version}}",
			query: `count by (version) (sallyport_build_info{job=~"$job"})`,
		},
	}
}

// Queries are the queries of the dashboard's panels by title, as Prometheus takes them, for one job.
func Queries(job, interval string) map[string]string {
	list := map[string]string{}
	for _, p := range panels() {
		list[p.title] = replaceAll(p.query, "$job", job, "$__rate_interval", interval)
	}
	return list
}

// object is JSON of Grafana's.
type object = map[string]any

// Dashboard is the dashboard as Grafana imports it, version 10 and newer.
func Dashboard() ([]byte, error) {
	source := object{"type": "prometheus", "uid": "${datasource}"}
	var list []object
	x, y := 0, 0
	for i, p := range panels() {
		if p.row != "" || x == 24 {
			x, y = 0, y+8
		}
		if p.row != "" {
			list = append(list, object{
				"id": 100 + i, "type": "row", "title": p.row, "collapsed": false, "panels": []object{},
				"gridPos": object{"x": 0, "y": y, "w": 24, "h": 1},
			})
			y++
		}
		list = append(list, object{
			"id": i + 1, "type": "timeseries", "title": p.title, "datasource": source,
			"gridPos":     object{"x": x, "y": y, "w": 8, "h": 8},
			"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []object{}},
			"targets": []object{{
				"refId": "A", "datasource": source, "expr": p.query, "legendFormat": p.by,
				"editorMode": "code", "range": true,
			}},
		})
		x += 8
	}
	return indented(object{
		"title": "Sallyport", "uid": "sallyport", "schemaVersion": 39, "version": 1, "editable": true,
		"tags": []string{"sallyport"}, "refresh": "30s", "time": object{"from": "now-6h", "to": "now"}, "panels": list,
		"templating": object{"list": []object{
			{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
			{
				"name": "job", "type": "query", "label": "Sallyport", "datasource": source, "refresh": 2,
				"includeAll": true, "multi": true,
				"query": object{"query": "label_values(sallyport_build_info, job)", "refId": "job"},
			},
		}},
	})
}

// indented is JSON that a person can review. Its keys are sorted.
func indented(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	return append(text, '\n'), nil
}
