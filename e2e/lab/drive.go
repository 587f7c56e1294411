package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"sallyport/e2e/process"
)

// REST calls n8n's internal API as the owner does in the editor. The answer's "data" is decoded into out unless that is
// nil.
func (n *N8N) REST(ctx context.Context, method, path string, in, out any) error {
	if err := n.rest(ctx, method, path, in, out); err != nil {
		return fmt.Errorf("calling %s %s: %w", method, path, err)
	}
	return nil
}

// Restart stops n8n and starts it again with further settings, on the same ports. The owner's cookie stays.
func (n *N8N) Restart(ctx context.Context, settings ...string) error {
	n.Stop()
	n.setup.Settings = append(n.setup.Settings, settings...)
	if err := n.Launch(ctx); err != nil {
		return err
	}
	return n.waitReady(ctx)
}

// Launch starts a stopped n8n again, on the same ports, and does not wait for what becomes of it.
func (n *N8N) Launch(ctx context.Context) (err error) {
	n.earlier = n.Log()
	n.Process, err = process.Start(n.setup.command(context.WithoutCancel(ctx), "start"))
	return err
}

// Log is what n8n has written to stdout and stderr, over all its starts.
func (n *N8N) Log() []byte { return slices.Concat(n.earlier, n.Process.Log()) }

// NewWaiting publishes a workflow that waits for its resume URL to be called, runs it with body, and returns the
// execution that waits.
func (n *N8N) NewWaiting(ctx context.Context, name string, body any) (execution string, err error) {
	return n.RunUntilWaiting(ctx, name, body, Wait())
}

// Wait is a step that waits for its resume URL to be called.
func Wait() Node {
	return Node{
		Name: "Wait", Type: "n8n-nodes-base.wait", TypeVersion: 1.1, WebhookID: nextPath(),
		Parameters: map[string]any{"resume": "webhook", "options": map[string]any{}},
	}
}

// RunUntilWaiting publishes a workflow of the steps, one of which waits, runs it with body, and returns the execution
// that waits.
func (n *N8N) RunUntilWaiting(ctx context.Context, name string, body any, steps ...Node) (execution string, err error) {
	start := trigger()
	start.Parameters["responseMode"] = "onReceived"
	nodes, connections := chain(start, steps)
	w, err := n.publish(ctx, name, nodes, connections)
	if err != nil {
		return "", err
	}
	if err := w.post(ctx, body); err != nil {
		return "", fmt.Errorf("running workflow %q: %w", name, err)
	}
	return w.waiting(ctx)
}

// waiting polls until an execution of the workflow waits.
func (w *Workflow) waiting(ctx context.Context) (id string, err error) {
	var list struct {
		Results []struct {
			ID json.Number `json:"id"`
		} `json:"results"`
	}
	path := "/rest/executions?filter=" + url.QueryEscape(fmt.Sprintf(`{"workflowId":%q,"status":["waiting"]}`, w.ID))
	err = poll(ctx, func() (bool, error) {
		err := w.n8n.rest(ctx, http.MethodGet, path, nil, &list) // the public API of 1.x does not list those that wait
		return err != nil || len(list.Results) > 0, err
	})
	if err != nil {
		return "", fmt.Errorf("looking for the waiting execution of workflow %q: %w", w.ID, err)
	}
	return list.Results[0].ID.String(), nil
}
