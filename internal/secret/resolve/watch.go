package resolve

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

// hints collects what a store's watch tells, until it is read.
type hints struct {
	arrived chan struct{}
	mu      *sync.Mutex
	paths   map[string]bool
}

func newHints() hints {
	return hints{arrived: make(chan struct{}, 1), mu: new(sync.Mutex), paths: make(map[string]bool)}
}

// add takes a path, or "" for any.
func (h *hints) add(path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paths[path] = true
	poke(h.arrived)
}

func (h *hints) take() (all bool, paths map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	paths = make(map[string]bool, len(h.paths))
	for path := range h.paths {
		paths[path] = true
	}
	clear(h.paths)
	return paths[""], paths
}

// watch has the store tell of changes, if it can, and begins again when other secrets are kept.
func (s *cachedStore) watch(ctx context.Context) {
	store, ok := s.await(ctx)
	if w, can := store.(secret.Watcher); ok && can {
		for s.watchOnce(ctx, w) {
		}
	}
}

// watchOnce tells whether to watch again.
func (s *cachedStore) watchOnce(ctx context.Context, w secret.Watcher) (again bool) {
	select {
	case <-s.rewatch: // it led here, or was for the first time
	default:
	}
	paths := s.paths()
	if len(paths) == 0 {
		select {
		case <-ctx.Done():
			return false
		case <-s.rewatch:
			return true
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	guard.Go(s.doing("watching"), func() {
		ended <- w.Watch(ctx, paths, s.hints.add)
	}, func(why *fault.Panic) { ended <- why })
	s.setWatched(true)
	defer s.setWatched(false)
	select {
	case <-s.rewatch:
		cancel()
		<-ended //nolint:errcheck // it ends without one
		return true
	case err := <-ended: // with ctx, or because this store cannot be watched: then it is polled
		if why, ok := errors.AsType[*fault.Panic](err); ok {
			panic(why) // the loop that this is in tells of it, and watches again
		}
		return false
	}
}

func (s *cachedStore) setWatched(watched bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched = watched
}

// paths are those of the secrets that can change.
func (s *cachedStore) paths() []string {
	var list []string
	for _, key := range s.choose(func(key secret.Key, e *entry) bool { return e.kept && !s.pinned(key) }) {
		list = append(list, key.Path)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// work does what the store has to do between calls.
func (s *cachedStore) work(ctx context.Context) {
	store, ok := s.await(ctx)
	if w, can := store.(secret.Runner); ok && can {
		if err := w.Run(ctx); err != nil && ctx.Err() == nil {
			s.r.o.Noted(s.spec.Name, err)
		}
	}
}

// await opens the store, as often as it takes.
func (s *cachedStore) await(ctx context.Context) (secret.Store, bool) {
	tick := time.NewTicker(retryTold)
	defer tick.Stop()
	for {
		store, err := s.opened(ctx)
		if err == nil {
			return store, true
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-tick.C:
		}
	}
}
