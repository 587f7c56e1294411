package n8nlog_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/monitor"
	"sallyport/internal/monitor/n8nlog"
	"sallyport/internal/n8n/logs"
)

const (
	missing = `{"level":"error","message":"Credential with ID \"%s\" does not exist for type \"httpHeaderAuth\"."}` + "\n"
	patient = time.Minute
)

// watch is a Watcher that follows one source.
type watch struct {
	*n8nlog.Watcher

	t      *testing.T
	mu     sync.Mutex
	events []n8nlog.Event
	more   chan struct{}
	ended  chan error
	stop   context.CancelFunc
}

func start(t *testing.T, in io.Reader, fromStart bool, sources ...string) *watch {
	t.Helper()
	w := &watch{t: t, more: make(chan struct{}, 1), ended: make(chan error, 1)}
	w.Watcher = &n8nlog.Watcher{
		Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Broke: func(why *fault.Panic) { t.Error(why, why.Stack) },
		Event: func(e n8nlog.Event) {
			w.mu.Lock()
			w.events = append(w.events, e)
			w.mu.Unlock()
			select {
			case w.more <- struct{}{}:
			default:
			}
		},
	}
	var all []n8nlog.Named
	for _, text := range sources {
		one, err := n8nlog.Parse(text, in, fromStart)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	go func() { w.ended <- w.Watch(ctx, all) }()
	t.Cleanup(stop)
	return w
}

// ids are the ids of the credentials of the events, once there are so many.
func (w *watch) ids(n int) string {
	w.t.Helper()
	end := time.After(patient)
	for {
		w.mu.Lock()
		var ids []string
		for _, e := range w.events {
			if e.Credential != nil {
				ids = append(ids, e.Credential.ID)
			}
		}
		w.mu.Unlock()
		if len(ids) >= n {
			return strings.Join(ids, " ")
		}
		select {
		case <-w.more:
		case <-end:
			w.t.Fatalf("only %q", ids)
		}
	}
}

// value is a metric's, by its name and labels as on the page; "" if it is not there.
func (w *watch) value(series string) string {
	w.t.Helper()
	m := monitor.NewWatch(w.Watcher, func(why *fault.Panic) { w.t.Error(why) })
	page := httptest.NewRecorder()
	m.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// await waits until a metric has a value.
func (w *watch) await(series, value string) {
	w.t.Helper()
	tick, end := time.NewTicker(20*time.Millisecond), time.After(patient)
	defer tick.Stop()
	for w.value(series) != value {
		select {
		case <-tick.C:
		case <-end:
			w.t.Fatalf("%s is %q, want %q", series, w.value(series), value)
		}
	}
}

func put(t *testing.T, path, text string, flags int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFile: a file is followed through rotation by name, truncation, and being away; each line is taken once.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n8n.log")
	put(t, path, fmt.Sprintf(missing, "before"), os.O_TRUNC)
	w := start(t, nil, false, "main="+path)
	w.await(`sallyport_n8n_log_readable{node="main"}`, "1")
	line := func(id string) string { return fmt.Sprintf(missing, id) }
	put(t, path, line("a")+line("b")[:40], os.O_APPEND)
	w.ids(1)
	put(t, path, line("b")[40:]+line("c"), os.O_APPEND)
	w.ids(3)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	put(t, path+".1", line("d"), os.O_APPEND) // by who has it open still
	put(t, path, line("e"), os.O_TRUNC)
	w.ids(5)
	if err := os.Truncate(path, 0); err != nil { // copytruncate
		t.Fatal(err)
	}
	put(t, path, "x\n", os.O_APPEND)
	w.await(`sallyport_n8n_log_lines_total{form="text",node="main"}`, "1")
	put(t, path, line("f"), os.O_APPEND)
	w.ids(6)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.await(`sallyport_n8n_log_readable{node="main"}`, "0")
	put(t, path, line("g"), os.O_TRUNC)
	if got := w.ids(7); got != "a b c d e f g" {
		t.Errorf("events are about %q", got)
	}
	w.await(`sallyport_n8n_log_readable{node="main"}`, "1")
	w.await(`sallyport_n8n_problems_total{node="main",problem="credential_missing"}`, "7")
}

// TestHostileLines: lines of megabytes, without an end, cut, of no JSON, and of bytes that are no text.
func TestHostileLines(t *testing.T) {
	text := strings.Repeat("A", 5<<20) + "\n" + `{"level":"error","message":"` + strings.Repeat("\u202e\x1b[2J", 1<<20) + "\"}\n" +
		"\xff\xfe\x00\n\r\n\n{\"level\":\n" + strings.Repeat(`{"message":`, 200_000) + "\n" +
		strings.Repeat("Credentials could not be decrypted. ", 10_000) + "\n" +
		fmt.Sprintf(missing, "\x1b]0;evil\a\u202e") +
		fmt.Sprintf(missing, "end")[:len(fmt.Sprintf(missing, "end"))-1]
	w := start(t, strings.NewReader(text), false, "worker=-")
	if err := <-w.ended; err != nil {
		t.Fatal(err)
	}
	for series, want := range map[string]string{
		`sallyport_n8n_log_lines_total{form="cut",node="worker"}`:                        "4",
		`sallyport_n8n_log_lines_total{form="text",node="worker"}`:                       "3",
		`sallyport_n8n_log_lines_total{form="json",node="worker"}`:                       "1",
		`sallyport_n8n_problems_total{node="worker",problem="credential_undecryptable"}`: "1",
		`sallyport_n8n_log_readable{node="worker"}`:                                      "0",
	} {
		if got := w.value(series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
	for _, e := range w.events {
		if len(e.Message) > 2000 {
			t.Errorf("an event has %d bytes", len(e.Message))
		}
	}
}

// TestManyNodes: nodes beyond the bound are counted together.
func TestManyNodes(t *testing.T) {
	w := &n8nlog.Watcher{Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	for i := range 3000 {
		n8nlog.Take(w, fmt.Sprint("node-", i), []byte("Mismatching encryption keys."))
	}
	nodes, total := map[string]bool{}, 0.0
	w.Collect(func(g monitor.Gauge) {
		nodes[g.Labels[0]] = true
		if g.Desc == monitor.N8NProblems {
			total += g.Value
		}
	})
	if len(nodes) > 1001 || total != 3000 {
		t.Errorf("%d nodes, %v problems", len(nodes), total)
	}
}

// TestProblemsAreTheLabels: what is recognised is what the catalogue says.
func TestProblemsAreTheLabels(t *testing.T) {
	var want []string
	for _, p := range logs.Problems() {
		want = append(want, string(p))
	}
	if got := monitor.N8NProblems.Labels[1].Closed; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the label has %q, n8n/logs %q", got, want)
	}
}

// TestParse is what a person writes.
func TestParse(t *testing.T) {
	for text, node := range map[string]string{
		"main=/var/log/n8n.log": "main", "/var/log/n8n=x.log": "/var/log/n8n=x.log", "-": "stdin", "w=-": "w",
		"docker:n8n-1": "n8n-1", "w=docker:n8n-1?host=tcp://127.0.0.1:2375": "w", "kubernetes:prod/app=n8n": "",
	} {
		one, err := n8nlog.Parse(text, nil, false)
		if err != nil || one.Node != node {
			t.Errorf("%q: node %q, %v", text, one.Node, err)
		}
	}
	for _, text := range []string{
		"", "main=", "docker:", "docker:-x", "docker:a?hots=b", "kubernetes:prod", "kubernetes:prod/", "kubernetes:a/b?c=d",
	} {
		if _, err := n8nlog.Parse(text, nil, false); fault.HintOf(err) == "" {
			t.Errorf("%q: %v, want a hint", text, err)
		}
	}
	two := []n8nlog.Named{{Node: "a"}, {Node: "a"}}
	if n8nlog.Distinct(two) == nil {
		t.Error("two logs of one node are taken")
	}
}
