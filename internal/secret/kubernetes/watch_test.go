package kubernetes_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"sallyport/internal/secret/kubernetes"
	"sallyport/internal/testkit/kube"
)

// watch is a Watch that goes on until the test ends.
type watch struct {
	t    *testing.T
	news chan string
	stop func()
}

func watching(t *testing.T, store *kubernetes.Store, paths ...string) *watch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watch{t: t, news: make(chan string)}
	ended := make(chan error, 1)
	go func() {
		ended <- store.Watch(ctx, paths, func(path string) {
			select {
			case w.news <- path:
			case <-ctx.Done():
			}
		})
	}()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("watching ended with %v", err)
		}
		ended <- nil
	}
	t.Cleanup(func() { w.stop() })
	return w
}

// want waits for news of each path, and fails at news of another. What is told twice is fine.
func (w *watch) want(paths ...string) {
	w.t.Helper()
	missing := make(map[string]bool)
	for _, path := range paths {
		missing[path] = true
	}
	known := make(map[string]bool)
	for len(missing) > 0 {
		select {
		case path := <-w.news:
			if !missing[path] && !known[path] {
				w.t.Fatalf("news of %q, want %q", path, paths)
			}
			known[path] = true
			delete(missing, path)
		case <-w.t.Context().Done():
			w.t.Fatalf("no news of %v", missing)
		}
	}
}

func TestWatch(t *testing.T) {
	store, server, ns := fresh(t)
	server.Secret(t, ns, "a", map[string]string{"one": "1", "two": "2"})
	server.Secret(t, ns, "b", map[string]string{"one": "1"})
	w := watching(t, store, "/a/one", ns+"/a", "b", "later", "a_bad_path")
	w.want("/a/one", ns+"/a", "b", "later") // they may have changed since they were read

	write(t, store, "/a/one", "new")
	w.want("/a/one", ns+"/a")
	server.Secret(t, ns, "unwatched", map[string]string{"x": "y"})
	server.Secret(t, ns, "later", map[string]string{"x": "y"})
	w.want("later")
	server.Call(t, http.MethodDelete, kube.Secrets(ns)+"/b", nil)
	w.want("b")
	server.Secret(t, ns, "b", map[string]string{"one": "again"})
	w.want("b")

	// Another watch of the store goes on from there: what has changed in between is told of, and the rest is not.
	w.stop()
	write(t, store, "/a/two", "in between")
	w = watching(t, store, "/a/one", "b", "later")
	w.want("/a/one")
	write(t, store, "/later/x", "z")
	w.want("later")
}

// TestWatchManyAtOnce: beyond a number the namespace is watched as a whole, or where the role does not allow that,
// each.
func TestWatchManyAtOnce(t *testing.T) {
	server := shared.Server(t)
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("s%d", i))
	}
	for name, rule := range map[string]kube.Rule{
		"the namespace": {Verbs: []string{"list", "watch"}},
		"each":          {Verbs: []string{"list", "watch"}, Names: names},
	} {
		t.Run(name, func(t *testing.T) {
			ns := server.Namespace(t)
			for _, name := range names {
				server.Secret(t, ns, name, map[string]string{"key": "value"})
			}
			w := watching(t, open(t, server, ns, rule), names...)
			w.want(names...)
			for _, name := range []string{"s3", "s19"} {
				server.Call(t, http.MethodPatch, kube.Secrets(ns)+"/"+name,
					kube.Object{"stringData": kube.Object{"key": "new"}})
				w.want(name)
			}
		})
	}
}

// TestWatchSurvivesARestart stops the API server under a watch, and starts it again.
func TestWatchSurvivesARestart(t *testing.T) {
	server := kube.Start(t)
	ns := server.Namespace(t)
	server.Secret(t, ns, "a", map[string]string{"key": "1"})
	server.Secret(t, ns, "b", map[string]string{"key": "1"})
	w := watching(t, openAs(t, server, ns, server.AdminToken), "a", "b")
	w.want("a", "b")
	server.Stop(t)
	server.Restart(t)
	server.Call(t, http.MethodPatch, kube.Secrets(ns)+"/a", kube.Object{"stringData": kube.Object{"key": "2"}})
	w.want("a")
	server.Call(t, http.MethodPatch, kube.Secrets(ns)+"/b", kube.Object{"stringData": kube.Object{"key": "2"}})
	w.want("b")
}
