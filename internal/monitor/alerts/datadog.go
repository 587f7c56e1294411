package alerts

import (
	"fmt"
	"strconv"
	"strings"
)

// Datadog is the monitors as Datadog's API takes them (POST /api/v1/monitor), for the Agent's OpenMetrics check with
// namespace "sallyport" and raw_metric_prefix "sallyport_". Alerts that its query language has no words for are left
// out.
func Datadog() ([]byte, error) {
	var list []object
	for _, a := range All() {
		if a.Datadog == "" {
			continue
		}
		kind := "query alert"
		if strings.HasPrefix(a.Datadog, `"`) {
			kind = "service check"
		}
		list = append(list, object{
			"name": strings.TrimSpace(a.Name + " " + a.Burn), "type": kind, "query": a.Datadog,
			"message": fmt.Sprintf("%s\n\n%s\n\nRunbook: %s", datadogText(a.Summary), a.Detail, a.Runbook()),
			"tags":    []string{"sallyport", "severity:" + string(a.Severity)},
			"options": object{"notify_no_data": kind == "service check", "no_data_timeframe": 10, "include_tags": true},
		})
	}
	return indented(list)
}

// datadogText has the labels as Datadog writes them.
func datadogText(text string) string {
	return replaceAll(text, "{{ $labels.instance }}", "{{host.name}}", " ({{ $labels.job }})", "",
		"{{ $labels.service }}", "{{service.name}}", "{{ $labels.store }}", "{{store.name}}",
		"{{ $labels.node }}", "{{node.name}}", ": {{ $labels.problem }}", "",
		"{{ $labels.table }}", "{{table.name}}", "{{ $labels.part }}", "{{part.name}}",
		"{{ $labels.token }}", "{{token.name}}", "{{ $labels.rotation }}", "{{rotation.name}}")
}

// datadog is the first arm of an SLO's alert: the long window alone, for a monitor of Datadog has one.
func (s *slo) datadog(b burn) string {
	by := ""
	if strings.Contains(s.by, "service") {
		by = " by {service}"
	}
	return fmt.Sprintf("sum(last_%s):sum:sallyport.requests.count{%s}%s.as_count() / "+
		"sum:sallyport.requests.count{%s}%[3]s"+
		".as_count() > %[5]s", b.long, datadogFilter(s.errors), by, datadogFilter(s.valid),
		strconv.FormatFloat(b.factor*(1-s.objective), 'g', 6, 64))
}

// datadogFilter writes matchers as Datadog does.
func datadogFilter(matchers string) string {
	var terms []string
	for m := range strings.SplitSeq(matchers, ",") {
		name, value, _ := strings.Cut(m, "=")
		value = strings.Trim(value, `~"`)
		switch {
		case strings.HasSuffix(name, "!"):
			terms = append(terms, "NOT "+strings.TrimSuffix(name, "!")+":"+value)
		case strings.Contains(value, "|"):
			terms = append(terms, name+" IN ("+strings.ReplaceAll(value, "|", ",")+")")
		default:
			terms = append(terms, name+":"+value)
		}
	}
	return strings.Join(terms, " AND ")
}
