package monitor

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/internal/fault"
)

// The metrics of `sallyport watch`, which is a process of its own.
//
//nolint:gochecknoglobals // declarations, never written to
var (
	N8NProblems = counter("n8n_problems_total",
		"Lines of a node's log that tell of a problem, by what it is.",
		"`credential_…`: n8n cannot use one of its own credentials. `key_…`: the node has another master key than the "+
			"database, or none. The events of `sallyport watch` name the credential.", labelNode, labelProblem)
	N8NExecutions = counter("n8n_executions_total",
		"Executions that a worker has finished, as its log says; n8n says it with N8N_LOG_FORMAT=json alone.",
		"Which share fails, by worker: one that fails alone has another key, or no way to the gate.",
		labelNode, labelEnd)
	N8NLines = counter("n8n_log_lines_total",
		"Lines of a node's log: in JSON, as text, or cut, which were longer than 64 KiB.",
		"When it stands still, the node writes nothing, or nothing of it is read.", labelNode, labelForm)
	N8NReadable = gauge("n8n_log_readable", "1 while a node's log can be read, else 0.",
		"At 0 nothing is known of the node. The log of `sallyport watch` says why.", labelNode)
	N8NLastLine = gauge("n8n_log_last_line_timestamp_seconds", "When a node's log last had a line, as Unix time.",
		"A node that works writes one for each execution.", labelNode)
	N8NKeyMatch = gauge("n8n_key_match",
		"1 when a node had the right master key when it was last asked (`--verify-keys`), 0 when it had another "+
			"one, or none; absent when it could not be asked.",
		"At 0, `sallyport key verify` with the same flags says which node, and what to do.", labelNode)
	N8NKeyChecked = gauge("n8n_key_last_check_timestamp_seconds",
		"When every node was last asked for its master key, and the answers compared, as Unix time.",
		"When it stands still, the check fails: the log of `sallyport watch` says why.")
)

// WatchCatalogue are all metrics of ours that `sallyport watch` has.
func WatchCatalogue() []*Metric {
	return []*Metric{N8NProblems, N8NExecutions, N8NLines, N8NReadable, N8NLastLine, N8NKeyMatch, N8NKeyChecked}
}

// Watch is the metrics of a process that is no gate.
type Watch struct{ registry *prometheus.Registry }

// NewWatch returns metrics of s. broke is told of a panic in it.
func NewWatch(s State, broke func(*fault.Panic)) *Watch {
	w := &Watch{registry: prometheus.NewRegistry()}
	w.registry.MustRegister(stateCollector{s, broke})
	return w
}

// Handler serves /metrics, as that of Metrics does.
func (w *Watch) Handler() http.Handler { return page(w.registry, scrapeTime) }

// Write writes a file for node_exporter's textfile collector: whole, or not at all.
func (w *Watch) Write(path string) error { return prometheus.WriteToTextfile(path, w.registry) }
