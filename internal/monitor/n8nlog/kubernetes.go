package n8nlog

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/kubeapi"
	"sallyport/internal/pause"
)

const (
	podsEvery = 5 * time.Second // how often pods are looked for
	maxPods   = 200             // of one selector that are followed at one time
)

// pods are the pods of a selector. Each is a node of its own, by its name.
type pods struct {
	prefix, namespace, selector, container string
	options                                kubeapi.Options
	every                                  time.Duration
}

func parseKubernetes(node, what string) (Named, error) {
	where, query, _ := strings.Cut(what, "?")
	namespace, selector, found := strings.Cut(where, "/")
	values, err := url.ParseQuery(query)
	for key := range values {
		if key != "kubeconfig" && key != "context" && key != "container" {
			err = fmt.Errorf("it knows no %q", key)
		}
	}
	if err != nil || !found || selector == "" {
		return Named{}, fault.WithHint(fmt.Errorf("reading --n8n-logs: kubernetes:%s names no pods", what),
			"kubernetes:NAMESPACE/SELECTOR, such as kubernetes:prod/app=n8n, with ?kubeconfig=FILE&context=NAME"+
				"&container=NAME behind it where need be")
	}
	p := &pods{
		namespace: namespace, selector: selector, container: values.Get("container"), every: podsEvery,
		options: kubeapi.Options{Kubeconfig: values.Get("kubeconfig"), Context: values.Get("context")},
	}
	if node != "" {
		p.prefix = node + "/"
	}
	return Named{Source: p}, nil
}

func (p *pods) follow(ctx context.Context, to *sink) error {
	whole := &sink{to.w, p.prefix + p.namespace + "/" + p.selector}
	config, namespace, err := p.options.Config()
	if err != nil {
		whole.away(err)
		return err
	}
	if p.namespace == "" {
		p.namespace = namespace
	}
	client, err := kubeapi.Client(config)
	if err != nil {
		whole.away(err)
		return err
	}
	api, err := kubeapi.JSON(config, client)
	if err != nil {
		whole.away(err)
		return err
	}
	ctx = kubeapi.Silent(ctx)
	following := &followed{p: p, api: api, w: to.w, under: make(map[string]context.CancelFunc)}
	defer following.running.Wait()
	for {
		names, err := p.list(ctx, api)
		switch {
		case err == nil:
			whole.here()
			following.only(ctx, names)
		case ctx.Err() == nil:
			whole.away(err)
		}
		if err := pause.For(ctx, p.every); err != nil {
			return err
		}
	}
}

// list are the names of the pods that run.
func (p *pods) list(ctx context.Context, api *rest.RESTClient) (names []string, err error) {
	var page struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Status struct {
				Phase string `json:"phase"`
			} `json:"status"`
		} `json:"items"`
	}
	ctx, cancel := context.WithTimeout(ctx, p.every+15*time.Second)
	defer cancel()
	body, err := api.Verb(http.MethodGet).AbsPath("/api/v1/namespaces", p.namespace, "pods").
		Param("labelSelector", p.selector).Param("limit", fmt.Sprint(maxPods)).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for the pods of %q in %q: %w", p.selector, p.namespace, err)
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("looking for the pods of %q in %q: %w", p.selector, p.namespace, err)
	}
	for i := range page.Items {
		one := &page.Items[i]
		if one.Status.Phase == "Running" && len(names) < maxPods && !strings.ContainsAny(one.Metadata.Name, "/?#%") {
			names = append(names, one.Metadata.Name)
		}
	}
	return names, nil
}

// followed are the pods whose logs are being read.
type followed struct {
	p       *pods
	api     *rest.RESTClient
	w       *Watcher
	running guard.Group

	mu    sync.Mutex
	under map[string]context.CancelFunc
}

// only follows these pods, and lets go of others.
func (f *followed) only(ctx context.Context, names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
		if f.under[name] != nil {
			continue
		}
		within, cancel := context.WithCancel(ctx)
		f.under[name] = cancel
		node := f.p.prefix + name
		f.running.Go("watching a pod's log", func() {
			guard.Loop(within, "watching a pod's log", func(ctx context.Context) { f.pod(ctx, name, node) }, f.w.Broke)
			f.w.forget(node)
		})
	}
	for name, cancel := range f.under {
		if !wanted[name] {
			cancel()
			delete(f.under, name)
		}
	}
}

// pod follows one pod until ctx ends.
func (f *followed) pod(ctx context.Context, name, node string) {
	to := &sink{f.w, node}
	at := &position{since: f.w.Now()}
	for ctx.Err() == nil {
		if err := f.read(ctx, name, at, to); ctx.Err() == nil {
			to.away(err)
		}
		_ = pause.For(ctx, againAfter)
	}
}

// read reads one connection to its end.
func (f *followed) read(ctx context.Context, name string, at *position, to *sink) error {
	req := f.api.Verb(http.MethodGet).AbsPath("/api/v1/namespaces", f.p.namespace, "pods", name, "log").
		Param("follow", "true").Param("timestamps", "true").
		Param("sinceTime", at.since.UTC().Format(time.RFC3339))
	if f.p.container != "" {
		req = req.Param("container", f.p.container)
	}
	body, err := req.Stream(ctx)
	if err != nil {
		return fmt.Errorf("reading the log of pod %q: %w", name, err)
	}
	defer body.Close() //nolint:errcheck // read only
	to.here()
	at.begin()
	l := at.lines(to)
	_, err = io.Copy(l, body)
	l.end()
	return err
}
