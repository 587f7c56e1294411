package app

import (
	"context"
	"net/http"
	"os"
	"time"

	"sallyport/internal/audit/sink"
	"sallyport/internal/boundary"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/monitor"
	"sallyport/internal/monitor/tracing"
	"sallyport/internal/secret"
)

// openTracing begins to make traces, where the configuration says so.
func (a *App) openTracing(c *config.Tracing) error {
	if c == nil {
		return nil
	}
	trust, err := sink.TLS(c.CAFile, "", "")
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	auth := sink.Auth{Token: c.Token, Header: c.Header}
	read := sink.Host{Secret: func(ctx context.Context, ref secret.Ref) (secret.Value, error) {
		value, _, err := a.state.Resolve(ctx, ref)
		return value, err
	}}
	t := tracing.New(tracing.Options{
		Endpoint: c.Endpoint, OneIn: c.OneIn, Propagate: c.Propagate, Version: a.o.Version, Host: host,
		Client:    sink.NewClient(trust).HTTP(),
		Authorise: func(ctx context.Context, req *http.Request) error { return auth.Set(ctx, req, read) },
		Broke:     func(why *fault.Panic) { a.broke("traces", why) }, Failed: a.traced,
	})
	a.traces.made.Store(t)
	a.closers.push("traces", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, tracesEnd)
		defer cancel()
		return t.Close(ctx)
	})
	return nil
}

// tracer is what makes traces of requests; nil where there are none, which costs nothing.
func (a *App) tracer() boundary.Tracer {
	if t := a.traces.made.Load(); t != nil {
		return t
	}
	return nil
}

// tracesEnd is how long a gate that stops still tries to export traces.
const tracesEnd = time.Second

// traced logs an outage of the receiver, once.
func (a *App) traced(err error) {
	switch before := a.traces.failed.Swap(err != nil); {
	case err != nil && !before:
		a.log.Warn("traces cannot be exported; what does not fit into the queue is dropped", "error", err,
			"hint", fault.HintOf(err))
	case err == nil && before:
		a.log.Info("traces are exported again")
	}
}

// readStore tells of a reading of a store.
func (a *App) readStore(store string, began time.Time, secrets int, err error) {
	if t := a.traces.made.Load(); t != nil {
		t.Read(store, began, secrets, err)
	}
}

func (a *App) collectTraces(emit func(monitor.Gauge)) {
	t := a.traces.made.Load()
	if t == nil {
		return
	}
	n := t.Counts()
	for result, value := range map[string]int{"exported": n.Exported, "dropped": n.Dropped, "failed": n.Failed} {
		emit(monitor.Gauge{Desc: monitor.TraceSpans, Value: float64(value), Labels: []string{result}})
	}
}
