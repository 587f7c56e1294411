package alerts

import (
	"fmt"
	"strings"
	"time"
)

const prometheusHead = `# Recording and alerting rules for Prometheus 2.42 and newer, or anything that reads its rules.
# Generated from internal/monitor/alerts. Do not edit: add rules of your own in a file beside it.
#
# The scrape job is named sallyport, or sallyport-NAME where there are several; one job has all replicas of one Sallyport.
# Each alert's annotation "runbook" is its page in Sallyport's documentation.
`

// Prometheus is rules as Prometheus reads them. The times in them are divided by scale, which is 1 but in a test.
func Prometheus(scale int, groups ...Group) []byte {
	var b strings.Builder
	b.WriteString(prometheusHead + "groups:\n")
	for _, g := range groups {
		fmt.Fprintf(&b, "  - name: %s\n    rules:\n", g.Name)
		for _, r := range g.Records {
			fmt.Fprintf(&b, "      - record: %s\n        expr: |-\n%s", r.Name, block(at(r.Expr, scale)))
		}
		for _, a := range g.Alerts {
			a.rule(&b, scale)
		}
	}
	return []byte(b.String())
}

func (a Alert) rule(b *strings.Builder, scale int) {
	fmt.Fprintf(b, "      - alert: %s\n        expr: |-\n%s", a.Name, block(at(a.Expr, scale)))
	if a.For > 0 {
		fmt.Fprintf(b, "        for: %s\n", duration(a.For/time.Duration(scale)))
	}
	fmt.Fprintf(b, "        labels:\n          severity: %s\n", a.Severity)
	if a.Burn != "" {
		fmt.Fprintf(b, "          burn: %s\n", a.Burn)
	}
	b.WriteString("        annotations:\n")
	fmt.Fprintf(b, "          summary: %q\n          description: %q\n          runbook: "+
		"%s\n", a.Summary, a.Detail, a.Runbook())
}

// block is the lines of a text as those of a block of YAML.
func block(text string) string {
	return "          " + strings.ReplaceAll(text, "\n", "\n          ") + "\n"
}
