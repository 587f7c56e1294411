package lab

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"syscall"

	"sallyport/e2e/process"
)

// Worker is a worker of n8n's queue mode, which can be stopped and started again.
type Worker struct {
	*process.Process // the latest; nil before the first start

	URL string // http://127.0.0.1:PORT, where /healthz and /healthz/readiness are

	setup   Setup
	client  *http.Client
	earlier []byte // the output of those before the latest
}

// NewWorker makes a worker that takes one execution at a time, and does not start it.
func (s Setup) NewWorker() (*Worker, error) {
	ports, err := process.FreePorts(3)
	if err != nil {
		return nil, err
	}
	own := append(environment(s.Folder, ports[0], ports[1]),
		"QUEUE_HEALTH_CHECK_ACTIVE=true", "QUEUE_HEALTH_CHECK_PORT="+ports[2], "N8N_WORKER_SERVER_ADDRESS=127.0.0.1")
	s.Settings = append(own, s.Settings...)
	return &Worker{
		setup: s, URL: "http://127.0.0.1:" + ports[2],
		client: &http.Client{Timeout: readyWithin},
	}, nil
}

// Launch starts the worker and does not wait for what becomes of it.
func (w *Worker) Launch(ctx context.Context) (err error) {
	w.earlier = w.Log()
	w.Process, err = process.Start(w.setup.command(context.WithoutCancel(ctx), "worker", "--concurrency=1"))
	return err
}

// AwaitReady waits until the worker takes executions.
func (w *Worker) AwaitReady(ctx context.Context) error {
	return w.Await(ctx, readyWithin, func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL+"/healthz/readiness", nil)
		if err != nil {
			return false
		}
		resp, err := w.client.Do(req)
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
}

// Start is Launch and AwaitReady.
func (w *Worker) Start(ctx context.Context) error {
	if err := w.Launch(ctx); err != nil {
		return err
	}
	return w.AwaitReady(ctx)
}

// Stop ends the worker, if it was started, when it is done with what it has begun.
func (w *Worker) Stop() {
	if w.Process != nil {
		w.Process.Stop(syscall.SIGTERM)
	}
}

// Log is what the worker has written to stdout and stderr, over all its starts.
func (w *Worker) Log() []byte {
	if w.Process == nil {
		return nil
	}
	return slices.Concat(w.earlier, w.Process.Log())
}

// Executed tells whether the worker has said that it has finished an execution.
func (w *Worker) Executed(execution string) bool {
	return regexp.MustCompile(fmt.Sprintf(`Worker finished execution %s\b`, regexp.QuoteMeta(execution))).Match(w.Log())
}
