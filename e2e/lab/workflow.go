package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// Node is one step of a workflow, in the form n8n stores it.
type Node struct {
	Name        string                `json:"name"`
	Type        string                `json:"type"`
	TypeVersion float64               `json:"typeVersion"`
	Position    [2]int                `json:"position"`
	Parameters  map[string]any        `json:"parameters"`
	Credentials map[string]Credential `json:"credentials,omitempty"`
	WebhookID   string                `json:"webhookId,omitempty"`
}

// Credential names a credential inside n8n, as a node does.
type Credential struct {
	ID   string `json:"id"`
	Name string `json:"name"`

	kind string
}

// Kind is n8n's name of its type.
func (c Credential) Kind() string { return c.kind }

// HTTPRequest is a step that calls url with a Header Auth credential. More parameters, by n8n's names, go over the
// basic ones.
func HTTPRequest(name, method, url string, c Credential, more map[string]any) Node {
	parameters := map[string]any{
		"method": method, "url": url, "options": map[string]any{},
		"authentication": "genericCredentialType", "genericAuthType": "httpHeaderAuth",
	}
	maps.Copy(parameters, more)
	return Node{Name: name, Type: "n8n-nodes-base.httpRequest", TypeVersion: 4.2, Parameters: parameters}.With(c)
}

// With returns the node with the credential attached.
func (n Node) With(c Credential) Node {
	n.Credentials = map[string]Credential{c.kind: c}
	return n
}

// Limit is a step that passes the first item on: after a node of many items it makes the next run once.
func Limit(name string) Node {
	return Node{Name: name, Type: "n8n-nodes-base.limit", TypeVersion: 1, Parameters: map[string]any{}}
}

// links is n8n's connections object: from → "main" → output → targets.
type links map[string]map[string][][]target

type target struct {
	Node  string `json:"node"`
	Type  string `json:"type"`
	Index int    `json:"index"`
}

func (l links) add(from string, output int, to string) {
	outputs := l[from]["main"]
	for len(outputs) <= output {
		outputs = append(outputs, nil)
	}
	outputs[output] = append(outputs[output], target{to, "main", 0})
	l[from] = map[string][][]target{"main": outputs}
}

// Workflow is a published workflow behind a webhook of its own.
type Workflow struct {
	ID string

	n8n  *N8N
	path string
	runs int
}

// webhooks numbers the paths: unique within a run, and the same in every run.
var webhooks atomic.Int64

func nextPath() string { return "e2e-" + strconv.FormatInt(webhooks.Add(1), 10) }

func trigger() Node {
	path := nextPath()
	return Node{
		Name: "Webhook", Type: "n8n-nodes-base.webhook", TypeVersion: 2, WebhookID: path,
		Parameters: map[string]any{
			"httpMethod": "POST", "path": path, "responseMode": "lastNode",
			"options": map[string]any{},
		},
	}
}

// NewWorkflow publishes a workflow that runs the steps one after the other.
func (n *N8N) NewWorkflow(ctx context.Context, name string, steps ...Node) (*Workflow, error) {
	nodes, connections := chain(trigger(), steps)
	return n.publish(ctx, name, nodes, connections)
}

func chain(first Node, steps []Node) (nodes []Node, connections links) {
	nodes, connections = append([]Node{first}, steps...), links{}
	for i := range steps {
		connections.add(nodes[i].Name, 0, nodes[i+1].Name)
	}
	return nodes, connections
}

// NewModelChain publishes a workflow that asks a language model one question: chain is the root node, model the one
// beneath it.
func (n *N8N) NewModelChain(ctx context.Context, name string, chain, model Node) (*Workflow, error) {
	connections := links{}
	connections.add("Webhook", 0, chain.Name)
	connections[model.Name] = map[string][][]target{"ai_languageModel": {{{chain.Name, "ai_languageModel", 0}}}}
	return n.publish(ctx, name, []Node{trigger(), chain, model}, connections)
}

// NewLoop publishes a workflow that runs step once for every element of "rows" in the body it is run with, batch at a
// time.
func (n *N8N) NewLoop(ctx context.Context, name string, batch int, step Node) (*Workflow, error) {
	split := Node{
		Name: "Split", Type: "n8n-nodes-base.splitOut", TypeVersion: 1,
		Parameters: map[string]any{"fieldToSplitOut": "body.rows", "options": map[string]any{}},
	}
	loop := Node{
		Name: "Loop", Type: "n8n-nodes-base.splitInBatches", TypeVersion: 3,
		Parameters: map[string]any{"batchSize": batch, "options": map[string]any{}},
	}
	nodes, connections := []Node{trigger(), split, loop, step, Limit("Done")}, links{}
	connections.add("Webhook", 0, "Split")
	connections.add("Split", 0, "Loop")
	connections.add("Loop", 0, "Done")
	connections.add("Loop", 1, step.Name)
	connections.add(step.Name, 0, "Loop")
	return n.publish(ctx, name, nodes, connections)
}

func (n *N8N) publish(ctx context.Context, name string, nodes []Node, connections links) (*Workflow, error) {
	for i := range nodes {
		nodes[i].Position = [2]int{220 * i, 0}
	}
	w := &Workflow{n8n: n, path: nodes[0].WebhookID}
	body := map[string]any{"name": name, "nodes": nodes, "connections": connections, "settings": map[string]any{}}
	var made struct {
		ID string `json:"id"`
	}
	if err := n.public(ctx, http.MethodPost, "/workflows", body, &made); err != nil {
		return nil, fmt.Errorf("making workflow %q: %w", name, err)
	}
	w.ID = made.ID
	if err := n.public(ctx, http.MethodPost, "/workflows/"+url.PathEscape(made.ID)+"/activate",
		struct{}{}, nil); err != nil {
		return nil, fmt.Errorf("publishing workflow %q: %w", name, err)
	}
	return w, nil
}

// Execution is how one run went, as n8n recorded it.
type Execution struct {
	ID     string
	Status string
	Error  *NodeError
	runs   map[string][]nodeRun
}

// NodeError is what n8n shows of the error that ended a run: the message in bold, the description under it.
type NodeError struct {
	Message     string   `json:"message"`
	Description string   `json:"description"`
	HTTPCode    string   `json:"httpCode"`
	Messages    []string `json:"messages"`
}

type nodeRun struct {
	Data struct {
		Main [][]struct {
			JSON json.RawMessage `json:"json"`
		} `json:"main"`
	} `json:"data"`
}

// Items returns what the node put out on its first output, all its runs together, one JSON text for each item.
func (e *Execution) Items(node string) []json.RawMessage {
	var items []json.RawMessage
	for _, run := range e.runs[node] {
		if len(run.Data.Main) == 0 {
			continue
		}
		for _, item := range run.Data.Main[0] {
			items = append(items, item.JSON)
		}
	}
	return items
}

// Run runs the workflow over its webhook with body, and returns what n8n recorded. A run that n8n ends with an error is
// not an error here: Status and Error tell of it. Runs of one workflow must not overlap.
func (w *Workflow) Run(ctx context.Context, body any) (*Execution, error) {
	if body == nil {
		body = struct{}{}
	}
	if err := w.post(ctx, body); err != nil {
		return nil, fmt.Errorf("running workflow %q: %w", w.ID, err)
	}
	w.runs++
	return w.recorded(ctx)
}

// post calls the webhook. Publishing takes n8n a moment: until then it answers 404.
func (w *Workflow) post(ctx context.Context, body any) error {
	return poll(ctx, func() (bool, error) {
		err := w.n8n.call(ctx, request{http.MethodPost, "/webhook/" + w.path, "X-From", browser, body}, nil)
		var status *StatusError
		switch {
		case !errors.As(err, &status):
			return true, err
		case status.Status == http.StatusNotFound:
			return false, nil
		default:
			return true, nil // 500: the run ended with an error, and n8n has recorded it
		}
	})
}

// recorded waits until n8n has stored the latest run, and reads it.
func (w *Workflow) recorded(ctx context.Context) (*Execution, error) {
	type row struct {
		ID     json.Number `json:"id"`
		Status string      `json:"status"`
		Data   struct {
			ResultData struct {
				Error   *NodeError           `json:"error"`
				RunData map[string][]nodeRun `json:"runData"`
			} `json:"resultData"`
		} `json:"data"`
	}
	var list struct {
		Data []row `json:"data"`
	}
	path := "/executions?includeData=true&limit=100&workflowId=" + url.QueryEscape(w.ID)
	err := poll(ctx, func() (bool, error) {
		err := w.n8n.public(ctx, http.MethodGet, path, nil, &list)
		return err != nil || (len(list.Data) == w.runs && list.Data[0].Status != "running"), err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the execution of workflow %q: %w", w.ID, err)
	}
	latest := list.Data[0]
	return &Execution{
		ID: latest.ID.String(), Status: latest.Status, Error: latest.Data.ResultData.Error,
		runs: latest.Data.ResultData.RunData,
	}, nil
}

// poll calls try until it is done, for a minute at most.
func poll(ctx context.Context, try func() (done bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := try(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
