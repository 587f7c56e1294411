package alerts

import "strings"

func replaceAll(text string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(text)
}

// Grafana is the alerts as Grafana provisions them (apiVersion 1), for a Prometheus data source of the uid "prometheus"
// in which the recording rules run.
func Grafana() ([]byte, error) {
	var groups []object
	for _, g := range Groups() {
		var rules []object
		for _, a := range g.Alerts {
			rules = append(rules, a.grafana())
		}
		groups = append(groups, object{
			"orgId": 1, "name": g.Name, "folder": "Sallyport", "interval": "1m", "rules": rules,
		})
	}
	return indented(object{"apiVersion": 1, "groups": groups})
}

func (a Alert) grafana() object {
	labels := object{"severity": string(a.Severity)}
	uid := strings.ToLower(a.Name)
	if a.Burn != "" {
		labels["burn"] = a.Burn
		uid += "-" + a.Burn
	}
	return object{
		"uid": uid, "title": strings.TrimSpace(a.Name + " " + a.Burn), "condition": "fires", "for": duration(a.For),
		"noDataState": "OK", "execErrState": "Error", "labels": labels,
		"annotations": object{"summary": a.Summary, "description": a.Detail, "runbook": a.Runbook()},
		"data": []object{
			{
				"refId": "A", "datasourceUid": "prometheus", "relativeTimeRange": object{"from": 600, "to": 0},
				"model": object{"refId": "A", "instant": true, "expr": oneLine(a.present())},
			},
			{
				"refId": "fires", "datasourceUid": "__expr__",
				"model": object{
					"refId": "fires", "type": "threshold", "expression": "A",
					"conditions": []object{{"evaluator": object{"type": "gt", "params": []int{0}}}},
				},
			},
		},
	}
}

// present is 1 for each series of the alert: Grafana looks at the value, Prometheus at whether there is one.
func (a Alert) present() string { return "((" + at(a.Expr, 1) + ") * 0 + 1)" }
