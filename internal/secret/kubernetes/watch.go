package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/kubeapi"
)

const (
	// watchEach is up to how many Secrets of a namespace are watched one by one, for which a role with their names is
	// enough.
	watchEach = 16

	// watchEachAtMost is the same where the role allows no watch of the whole namespace.
	watchEachAtMost = 100

	// watchFor is how long a watch lasts at least; then all is compared again.
	watchFor = 5 * time.Minute

	firstPause, longestPause = 100 * time.Millisecond, 15 * time.Second

	watching = "watching secrets in kubernetes"
)

// Watch implements secret.Watcher. Only metadata is watched: values do not come this way. Each secret is told of once
// when its watch begins, since it may have changed after it was read; a later Watch of this store goes on where the
// last one ended.
//
// An error is secret.ErrDenied: the role does not allow to list and watch.
func (s *Store) Watch(ctx context.Context, paths []string, changed func(path string)) error {
	w := &watcher{store: s, paths: make(map[object][]string), news: make(chan object), known: s.takeKnown()}
	defer s.giveKnown(w)
	for _, path := range paths {
		if at, err := s.locate(path); err == nil { // what cannot be read does not change
			w.paths[at.object] = append(w.paths[at.object], path)
		}
	}
	if err := w.run(ctx, changed); err != nil && ctx.Err() == nil {
		return fmt.Errorf("watching secrets in kubernetes: %w", err)
	}
	return nil
}

// takeKnown hands over what the last Watch has told of. A second one at the same time begins with nothing.
func (s *Store) takeKnown() map[object]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.known
	s.known = nil
	if known == nil {
		known = make(map[object]string)
	}
	return known
}

func (s *Store) giveKnown(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = w.known
}

// watcher is one call of Watch.
type watcher struct {
	store *Store
	paths map[object][]string // read only
	news  chan object         // of what has changed

	mu    sync.Mutex
	known map[object]string // the resourceVersion that was told of; "" is no such Secret
}

// run calls changed until ctx ends or one of the watches cannot go on.
func (w *watcher) run(ctx context.Context, changed func(path string)) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	names := make(map[string][]object)
	for o := range w.paths {
		names[o.namespace] = append(names[o.namespace], o)
	}
	var all guard.Group
	for namespace, objects := range names {
		all.Go(watching, func() {
			stop(guard.Try(watching, func() error { return w.namespace(ctx, namespace, objects) }))
		})
	}
	if len(names) == 0 {
		<-ctx.Done()
	}
	ended := make(chan struct{})
	guard.Go(watching, func() { // ends with the watches
		defer close(ended)
		all.Wait()
	}, func(*fault.Panic) {}) // each watch has told of its own
	for {
		select {
		case o := <-w.news:
			for _, path := range w.paths[o] {
				changed(path)
			}
		case <-ended:
			return context.Cause(ctx)
		}
	}
}

// namespace watches some Secrets of a namespace until ctx ends or it is not allowed to.
func (w *watcher) namespace(ctx context.Context, namespace string, objects []object) error {
	if len(objects) > watchEach {
		err := w.keep(ctx, object{namespace: namespace})
		if ctx.Err() != nil || !forbidden(err) || len(objects) > watchEachAtMost {
			return err
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all guard.Group
	for _, o := range objects {
		all.Go(watching, func() { stop(guard.Try(watching, func() error { return w.keep(ctx, o) })) })
	}
	all.Wait()
	return context.Cause(ctx)
}

// keep watches one Secret, or all of a namespace, and begins again whenever that ends.
func (w *watcher) keep(ctx context.Context, scope object) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	pause := firstPause
	for {
		began, err := w.follow(ctx, scope)
		if ctx.Err() != nil || forbidden(err) {
			return err
		}
		if pause = min(2*pause, longestPause); began {
			pause = firstPause
		}
		timer.Reset(pause/2 + rand.N(pause)) //nolint:gosec // spreads load
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
	}
}

// follow compares what is there with what is known, and then watches as long as the API server lets it.
func (w *watcher) follow(ctx context.Context, scope object) (began bool, err error) {
	version, err := w.compare(ctx, scope)
	if err != nil {
		return false, err
	}
	lasting := watchFor + rand.N(watchFor) //nolint:gosec // spreads load
	ctx, cancel := context.WithTimeout(kubeapi.Silent(ctx), lasting+w.store.timeout)
	defer cancel()
	seconds := int64(lasting.Seconds())
	opts := metav1.ListOptions{FieldSelector: only(scope), ResourceVersion: version, TimeoutSeconds: &seconds}
	slow := time.AfterFunc(w.store.timeout, cancel) // until it has begun
	events, err := w.store.in(scope.namespace).Watch(ctx, opts)
	if !slow.Stop() || err != nil {
		if events != nil {
			events.Stop()
		}
		return false, explain(errors.Join(err, ctx.Err()), rule{verb: "watch", object: scope})
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		if !w.heard(ctx, scope.namespace, event) {
			break
		}
	}
	return true, nil
}

// compare tells of what is not as it is known, and returns the version of the list.
func (w *watcher) compare(ctx context.Context, scope object) (version string, err error) {
	there := make(map[object]string)
	err = w.store.each(ctx, scope, func(about metav1.Object) {
		there[object{scope.namespace, about.GetName()}] = about.GetResourceVersion()
	}, &version)
	if err != nil {
		return "", err
	}
	for o := range w.paths {
		if o == scope || (scope.name == "" && o.namespace == scope.namespace) {
			w.saw(ctx, o, there[o])
		}
	}
	return version, nil
}

// heard takes an event; false ends the watch: the API server cannot go on from there.
func (w *watcher) heard(ctx context.Context, namespace string, event watch.Event) bool {
	about, isObject := event.Object.(metav1.Object)
	if !isObject || event.Type == watch.Error {
		return false
	}
	o, version := object{namespace, about.GetName()}, about.GetResourceVersion()
	if event.Type == watch.Deleted {
		version = ""
	}
	if w.paths[o] != nil && event.Type != watch.Bookmark {
		w.saw(ctx, o, version)
	}
	return true
}

// saw tells of a Secret, unless it is as it was when it was last told of.
func (w *watcher) saw(ctx context.Context, o object, version string) {
	w.mu.Lock()
	before, isKnown := w.known[o]
	w.known[o] = version
	w.mu.Unlock()
	if isKnown && before == version {
		return
	}
	select {
	case w.news <- o:
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.known, o) // nobody was told
	}
}
