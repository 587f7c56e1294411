package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

// cachedStore is a store with what is in memory of it.
type cachedStore struct {
	spec    StoreSpec
	r       *Resolver
	turn    chan struct{} // held by the one reading that goes on, so that an older answer never replaces a newer one
	retired chan struct{} // closed when another store took its place
	moved   chan struct{} // what is kept has changed: for poll
	rewatch chan struct{} // the same, for watch
	hints   hints         // what the store's own watch says

	mu       sync.Mutex
	store    secret.Store // nil until it was opened
	runs     bool         // run goes on, and uses store
	closed   bool         // store is not opened again
	entries  map[secret.Key]*entry
	down     error     // why the store does not answer; nil while it does
	answered time.Time // when it last did
	watched  bool      // the store tells of changes by itself
	vouched  time.Time // when it last answered while watched: nothing unheard of had changed then
}

func newCachedStore(spec StoreSpec, r *Resolver) *cachedStore {
	return &cachedStore{
		spec: spec, r: r, turn: make(chan struct{}, 1), retired: make(chan struct{}), moved: make(chan struct{}, 1),
		rewatch: make(chan struct{}, 1), hints: newHints(), entries: make(map[secret.Key]*entry),
	}
}

func (s *cachedStore) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := closeStore(s.store)
	s.store, s.closed = nil, true
	return err
}

// leave closes a store that was replaced, once nobody uses it any more; run, when it goes on, does so at its end.
func (s *cachedStore) leave(ctx context.Context) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return // the resolver's Close does it
	}
	defer func() { <-s.turn }()
	if !s.isRunning() {
		_ = s.close() // nobody is there to tell
		s.r.forget(s)
	}
}

func (s *cachedStore) isRunning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs
}

func (s *cachedStore) setRunning(runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = runs
}

func (s *cachedStore) isRetired() bool {
	select {
	case <-s.retired:
		return true
	default:
		return false
	}
}

// pinned tells whether a key names one version for good.
func (s *cachedStore) pinned(key secret.Key) bool {
	return key.Version != "" && (s.spec.Moving == nil || !s.spec.Moving(key.Version))
}

// read asks the store for what choose names, in its turn. Its error is the context's; the store's are in the entries.
func (s *cachedStore) read(ctx context.Context, choose func() []secret.Key) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	if s.isRetired() {
		return nil
	}
	for part := range slices.Chunk(choose(), portion) {
		results := s.ask(ctx, part)
		if key, ok := s.witness(part, results); ok {
			part, results = append(slices.Clone(part), key), append(results, s.ask(ctx, []secret.Key{key})...)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.record(part, results); s.isDown() {
			return nil // the rest counts as unread, or is as it was
		}
	}
	return nil
}

// witness is a secret that was read the last time, other than those asked for: when they cannot be obtained, it shows
// whether that is the store's fault or theirs.
func (s *cachedStore) witness(asked []secret.Key, results []secret.Result) (key secret.Key, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil || verdict(results) == nil {
		return key, false
	}
	for key, e := range s.entries {
		if e.kept && e.read && e.err == nil && !slices.Contains(asked, key) {
			return key, true
		}
	}
	return key, false
}

// portion is how many secrets are read before they can be used: whoever waits need not wait for all.
const portion = 512

// ask has one result for each key, whatever the store does.
func (s *cachedStore) ask(ctx context.Context, keys []secret.Key) (list []secret.Result) {
	if why := guard.Call(s.doing("reading"), func() { list = s.askStore(ctx, keys) }); why != nil {
		list = make([]secret.Result, len(keys))
		for i, key := range keys {
			list[i] = broken(key, why)
		}
	}
	var last *fault.Panic
	for i := range list {
		if why, ok := errors.AsType[*fault.Panic](list[i].Err); ok && why != last {
			s.r.o.Broke(why)
			last = why
		}
	}
	return list
}

func (s *cachedStore) askStore(ctx context.Context, keys []secret.Key) []secret.Result {
	store, err := s.opened(ctx)
	if err != nil {
		list := make([]secret.Result, len(keys))
		for i, key := range keys {
			list[i] = failure(key, s, err)
		}
		return list
	}
	if s.r.o.Read == nil {
		return fetch(ctx, store, keys)
	}
	began := time.Now()
	list := fetch(ctx, store, keys)
	s.r.o.Read(s.spec.Name, began, len(keys), noneOf(list))
	return list
}

// noneOf is why all of the results are errors; nil: one is none.
func noneOf(list []secret.Result) (why error) {
	for i := range list {
		if list[i].Err == nil || !errors.Is(list[i].Err, secret.ErrUnavailable) {
			return nil
		}
		why = list[i].Err
	}
	return why
}

// opened returns the store. The first to need it opens it.
func (s *cachedStore) opened(ctx context.Context) (secret.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store != nil {
		return s.store, nil
	}
	if s.closed {
		return nil, fmt.Errorf("%w: it is set up again", secret.ErrUnavailable)
	}
	store, err := s.spec.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", secret.ErrUnavailable, err)
	}
	s.store = store
	return store, nil
}

// record writes results down and tells of what is different.
func (s *cachedStore) record(keys []secret.Key, results []secret.Result) {
	changes, down, turned := s.enter(keys, results)
	s.r.news.add(changes)
	if turned {
		s.r.o.Noted(s.spec.Name, down)
	}
}

// enter puts results into memory. turned tells whether the store has stopped answering, which down is the reason of, or
// answers again.
func (s *cachedStore) enter(keys []secret.Key, results []secret.Result) (changes []Change, down error, turned bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.down
	if s.down = verdict(results); s.down == nil {
		s.answered = now
		if s.watched {
			s.vouched = now
		}
	}
	for i, key := range keys {
		e := s.entry(key)
		different := e.take(results[i], now)
		changes = s.note(changes, key, different)
	}
	if turned = (before == nil) != (s.down == nil); turned {
		changes = s.noteAll(changes)
	}
	return changes, s.down, turned
}

func (s *cachedStore) entry(key secret.Key) *entry {
	e := s.entries[key]
	if e == nil {
		e = new(entry)
		s.entries[key] = e
	}
	return e
}

// note adds what is new about an entry since someone was told. The mutex is held.
func (s *cachedStore) note(changes []Change, key secret.Key, different bool) []Change {
	e := s.entries[key]
	before, after := e.told, e.state(key, s, time.Now())
	e.told = after
	if !e.kept || (!different && before == after) {
		return changes
	}
	return append(changes, Change{
		Ref:  secret.Ref{Store: s.spec.Name, Path: key.Path, Version: key.Version},
		Same: !different && before.usable() && after.usable(),
	})
}

// noteAll is note for what the store's standing alone has changed.
func (s *cachedStore) noteAll(changes []Change) []Change {
	for key := range s.entries {
		changes = s.note(changes, key, false)
	}
	return changes
}

// verdict is why a store counts as down: it gave no answer at all to what it was asked.
func verdict(results []secret.Result) error {
	var why error
	for _, res := range results {
		if !errors.Is(res.Err, secret.ErrUnavailable) {
			return nil
		}
		why = res.Err
	}
	return why
}
