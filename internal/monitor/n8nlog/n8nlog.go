// Package n8nlog watches the logs of n8n's nodes, and turns what n8n says of credentials and of its master key into
// metrics and events.
//
// A source is a file, standard input, a Docker container, or the pods of a Kubernetes selector. It reads; it changes
// nothing, and needs neither the gate nor its database.
//
// Invariant: whatever a log holds, memory is bounded: by line, by node, and by how many nodes there are.
package n8nlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/monitor"
	"sallyport/internal/n8n/logs"
)

const (
	maxNodes = 1000 // more are counted together
	others   = "(others)"
	maxNode  = 128 // bytes of a node's name
)

// Event is a line that a person has to know of. It is one line of JSON.
type Event struct {
	Time       time.Time    `json:"time"`
	Node       string       `json:"node"`
	Problem    logs.Problem `json:"problem"`
	Message    string       `json:"message"`
	Credential *Credential  `json:"credential,omitempty"`
	Execution  string       `json:"execution,omitempty"`
	WorkflowID string       `json:"workflow_id,omitempty"`
	Workflow   string       `json:"workflow,omitempty"`
}

// Credential is the one of n8n's that an event is about.
type Credential struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
}

// Source gives the lines of one or more nodes.
type Source interface {
	follow(ctx context.Context, to *sink) error
}

// Named is a source with the name of its node, or what the names of its nodes begin with.
type Named struct {
	Node   string
	Source Source
}

// Watcher counts. It implements monitor.State, and is safe for concurrent use.
type Watcher struct {
	Now   func() time.Time
	Log   *slog.Logger
	Event func(Event) // is called for one event at a time; may be nil
	Broke func(*fault.Panic)

	mu    sync.Mutex
	nodes map[string]*node
	keys  map[string]bool // by node: it has the right master key
	asked time.Time       // when all were asked for it
	told  sync.Mutex
}

// node is what is known of one.
type node struct {
	problems       map[logs.Problem]int
	json, text     int
	long           int
	ok, failed     int
	last           time.Time
	readable, seen bool
	why            string // it cannot be read
}

// Watch follows all sources until ctx ends, or all of them have. The error is of those that cannot be followed at all.
func (w *Watcher) Watch(ctx context.Context, all []Named) error {
	var running guard.Group
	failures := make([]error, len(all))
	for _, one := range all {
		if one.Node != "" {
			w.with(one.Node, func(*node) {}) // told from the beginning, with 0: the first problem is an increase
		}
	}
	for i, one := range all {
		running.Go("watching a log", func() {
			guard.Loop(ctx, "watching a log", func(ctx context.Context) {
				failures[i] = one.Source.follow(ctx, &sink{w, one.Node})
			}, w.Broke)
		})
	}
	running.Wait()
	if ctx.Err() == nil {
		return errors.Join(failures...)
	}
	return nil
}

// with does something with a node, which is made where there is none.
func (w *Watcher) with(name string, do func(*node)) {
	name = strings.ToValidUTF8(name[:min(len(name), maxNode)], "")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nodes == nil {
		w.nodes = make(map[string]*node)
	}
	n := w.nodes[name]
	if n == nil && len(w.nodes) >= maxNodes {
		name = others
		n = w.nodes[name]
	}
	if n == nil {
		n = &node{problems: make(map[logs.Problem]int)}
		w.nodes[name] = n
	}
	do(n)
}

// forget lets go of a node that is gone for good, such as a pod.
func (w *Watcher) forget(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, name)
}

// take counts a line.
func (w *Watcher) take(name string, line []byte, long bool) {
	l := logs.Parse(line)
	now := w.Now()
	w.with(name, func(n *node) {
		n.last = now
		switch {
		case long:
			n.long++
		case l.JSON:
			n.json++
		default:
			n.text++
		}
		if l.Problem != "" {
			n.problems[l.Problem]++
		}
		if l.Finished && l.Success {
			n.ok++
		} else if l.Finished {
			n.failed++
		}
	})
	if l.Problem == "" || w.Event == nil {
		return
	}
	e := Event{
		Time: l.Time, Node: name, Problem: l.Problem, Message: l.Message,
		Execution: l.Execution, WorkflowID: l.WorkflowID, Workflow: l.Workflow,
	}
	if e.Time.IsZero() {
		e.Time = now.UTC()
	}
	if l.CredentialID != "" {
		e.Credential = &Credential{l.CredentialID, l.CredentialName, l.CredentialType}
	}
	w.told.Lock()
	defer w.told.Unlock()
	w.Event(e)
}

// Collect implements monitor.State.
func (w *Watcher) Collect(emit func(monitor.Gauge)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.collectKeys(emit)
	for name, n := range w.nodes {
		for _, p := range logs.Problems() {
			emit(monitor.Gauge{
				Desc: monitor.N8NProblems, Value: float64(n.problems[p]), Labels: []string{name, string(p)},
			})
		}
		for form, count := range map[string]int{"json": n.json, "text": n.text, "cut": n.long} {
			emit(monitor.Gauge{Desc: monitor.N8NLines, Value: float64(count), Labels: []string{name, form}})
		}
		for result, count := range map[string]int{"success": n.ok, "failed": n.failed} {
			emit(monitor.Gauge{Desc: monitor.N8NExecutions, Value: float64(count), Labels: []string{name, result}})
		}
		if n.seen {
			readable := 0.0
			if n.readable {
				readable = 1
			}
			emit(monitor.Gauge{Desc: monitor.N8NReadable, Value: readable, Labels: []string{name}})
		}
		if !n.last.IsZero() {
			emit(monitor.Gauge{
				Desc: monitor.N8NLastLine, Value: float64(n.last.UnixMilli()) / 1000, Labels: []string{name},
			})
		}
	}
}

// Keys takes over whether each node has the right master key; one that could not be asked is not among them.
func (w *Watcher) Keys(right map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys, w.asked = right, w.Now()
}

func (w *Watcher) collectKeys(emit func(monitor.Gauge)) {
	for name, right := range w.keys {
		value := 0.0
		if right {
			value = 1
		}
		emit(monitor.Gauge{Desc: monitor.N8NKeyMatch, Value: value, Labels: []string{name}})
	}
	if !w.asked.IsZero() {
		emit(monitor.Gauge{Desc: monitor.N8NKeyChecked, Value: float64(w.asked.UnixMilli()) / 1000})
	}
}

// sink is where a source puts the lines of a node.
type sink struct {
	w    *Watcher
	node string
}

func (s *sink) line(line []byte, long bool) {
	if len(line) > 0 {
		s.w.take(s.node, line, long)
	}
}

// here tells that the log can be read.
func (s *sink) here() {
	s.w.with(s.node, func(n *node) {
		if n.seen && !n.readable {
			s.w.Log.Info("a log of n8n can be read again", "node", s.node)
		}
		n.seen, n.readable, n.why = true, true, ""
	})
}

// ended tells that nothing more comes.
func (s *sink) ended() {
	s.w.with(s.node, func(n *node) { n.readable = false })
}

// away tells that it cannot. nil is a log that ended, and begins again.
func (s *sink) away(err error) {
	if err == nil {
		return
	}
	s.w.with(s.node, func(n *node) {
		if why := err.Error(); why != n.why {
			n.why = why
			s.w.Log.Warn("a log of n8n cannot be read; it is tried again", "node", s.node, "error", err)
		}
		n.seen, n.readable = true, false
	})
}

// Parse reads a source as a person writes it: [NODE=]FILE, [NODE=]-, [NODE=]docker:CONTAINER, or
// kubernetes:NAMESPACE/SELECTOR. in is standard input, start has files read from their beginning.
func Parse(text string, in io.Reader, start bool) (Named, error) {
	node, rest, named := strings.Cut(text, "=")
	if !named || node == "" || strings.ContainsAny(node, "/:?\\ ") {
		node, rest = "", text
	}
	way, what, found := strings.Cut(rest, ":")
	switch {
	case rest == "-":
		return Named{orNode(node, "stdin"), &stream{in}}, nil
	case found && way == "docker":
		return parseDocker(node, what)
	case found && way == "kubernetes":
		return parseKubernetes(node, what)
	case rest == "":
		return Named{}, fault.WithHint(fmt.Errorf("reading --n8n-logs %q: it names no log", text),
			"such as worker=/var/log/n8n/n8n.log, -, docker:n8n-worker-1 or kubernetes:prod/app=n8n")
	}
	return Named{orNode(node, rest), &file{path: rest, start: start}}, nil
}

func orNode(node, otherwise string) string {
	if node == "" {
		return otherwise
	}
	return node
}

// Distinct refuses two sources of one node.
func Distinct(all []Named) error {
	var names []string
	for _, one := range all {
		if one.Node == "" {
			continue
		}
		if slices.Contains(names, one.Node) {
			return fault.WithHint(fmt.Errorf("two logs have the node %q", one.Node), "name them: NODE=LOG")
		}
		names = append(names, one.Node)
	}
	return nil
}
