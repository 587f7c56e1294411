package audit

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Format makes one line of a log readable: time, outcome, token, service, request, status,
// code, time spent in the gate and upstream, workflow. What a terminal could take for a
// command is shown as an escape.
func Format(line []byte) (string, error) {
	rec, err := Parse(line)
	if err != nil {
		return "", err
	}
	ev := rec.Event
	columns := fmt.Sprintf("%s  %-10s  %-16s  %-12s  %-44s  %-3s  %-18s  %12s  %14s  %s",
		ev.Time.UTC().Format("2006-01-02 15:04:05.000"), show(string(ev.Kind)),
		show(cmp.Or(ev.Label, ev.Token, ev.Actor)), show(cmp.Or(ev.Service, ev.Subject)),
		show(request(ev)), show(number(ev.Status)), show(ev.Code),
		millis("gate", ev.Gate), millis("api", ev.Upstream), printable(remarks(ev)))
	return strings.TrimRight(columns, " "), nil
}

// request is what was asked for: a request, or an action.
func request(ev Event) string {
	if ev.Action != "" {
		return ev.Action
	}
	return strings.TrimSpace(ev.Method + " " + ev.Path)
}

// remarks are what only some records have.
func remarks(ev Event) string {
	var all []string
	for _, r := range []struct{ name, value string }{
		{"workflow=", ev.Workflow},
		{"execution=", ev.Execution},
		{"node=", ev.Node},
		{"scrubbed=", number(ev.Scrubbed)},
		{"suppressed=", number(ev.Suppressed)},
		{"", ev.Detail},
	} {
		if r.value != "" {
			all = append(all, r.name+r.value)
		}
	}
	return strings.Join(all, " ")
}

// show is a column that is never empty, so that columns can be counted.
func show(s string) string { return cmp.Or(printable(s), "-") }

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func millis(name string, d time.Duration) string {
	if d == 0 {
		return ""
	}
	return name + " " + strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64) + "ms"
}

// printable escapes what is not a visible character or a space: a path or a workflow name
// is a stranger's text, and the reader's terminal obeys escape sequences.
func printable(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func hidden(r rune) bool { return !unicode.IsPrint(r) }
