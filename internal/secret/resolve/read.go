package resolve

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/secret"
)

// Load returns what refs name, one result per reference, in order: what is kept from memory, the rest from its stores.
// A value that is already in memory is not waited for. The error is ctx's alone; a reference's own is in its result:
// the store's, ErrNoStore or ErrField.
func (r *Resolver) Load(ctx context.Context, refs []secret.Ref) ([]secret.Result, error) {
	err := r.fetch(ctx, r.active().split(refs), missing)
	return r.results(refs), err
}

// missing wants what is not in memory.
func missing(s *cachedStore, key secret.Key) need {
	switch e := s.entries[key]; {
	case e == nil, !e.kept, !e.read && e.confirmed.IsZero():
		return wanted
	case !e.read:
		return welcome
	}
	return nothing
}

// Read is Load, but asks the stores for everything again. When a store has no answer, the last known good is the
// result.
func (r *Resolver) Read(ctx context.Context, refs []secret.Ref) ([]secret.Result, error) {
	err := r.fetch(ctx, r.active().split(refs), func(*cachedStore, secret.Key) need { return wanted })
	return r.results(refs), err
}

// Again reads everything again that is kept of a store, and returns when memory has it or the store was waited for in
// vain.
func (r *Resolver) Again(ctx context.Context, store string) error {
	s := r.store(store)
	if s == nil {
		return nil
	}
	return r.wait(ctx, []<-chan struct{}{s.begin(ctx, func() []secret.Key {
		return s.choose(func(_ secret.Key, e *entry) bool { return e.kept })
	})})
}

// Held returns what is in memory, at once. unconfirmed is why the store does not confirm a value that is active all the
// same.
func (r *Resolver) Held(ref secret.Ref) (res secret.Result, unconfirmed error) {
	return r.active().held(ref)
}

func (all set) held(ref secret.Ref) (res secret.Result, unconfirmed error) {
	s := all[ref.Store]
	if s == nil {
		return secret.Result{Err: fmt.Errorf("reading %s: %w", ref, ErrNoStore)}, nil
	}
	key := keyOf(ref)
	s.mu.Lock()
	e := s.entries[key]
	if e == nil {
		e = new(entry)
	}
	res, unconfirmed = e.result(key, s, time.Now())
	s.mu.Unlock()
	if res.Err != nil || ref.Field == "" {
		return res, unconfirmed
	}
	value, err := secret.Field(res.Value, ref.Field)
	if err != nil {
		return secret.Result{
			Version: res.Version,
			Err:     fmt.Errorf("reading %s: %w: %w", ref, ErrField, err),
		}, unconfirmed
	}
	return secret.Result{Value: value, Version: res.Version}, unconfirmed
}

func (r *Resolver) results(refs []secret.Ref) []secret.Result {
	list, active := make([]secret.Result, len(refs)), r.active()
	for i, ref := range refs {
		list[i], _ = active.held(ref)
	}
	return list
}

func keyOf(ref secret.Ref) secret.Key { return secret.Key{Path: ref.Path, Version: ref.Version} }

// need is whether a reading is needed, and waited for.
type need int

const (
	nothing need = iota
	welcome      // it is read, and nobody waits
	wanted
)

// fetch reads what judge says of parts, each store by itself, and waits as long as patience allows.
func (r *Resolver) fetch(ctx context.Context, parts map[*cachedStore][]secret.Key,
	judge func(*cachedStore, secret.Key) need,
) error {
	var waiting []<-chan struct{}
	for s, keys := range parts {
		keys, most := s.needed(keys, judge)
		if most == nothing {
			continue
		}
		if done := s.begin(ctx, func() []secret.Key { return keys }); most == wanted {
			waiting = append(waiting, done)
		}
	}
	return r.wait(ctx, waiting)
}

// needed keeps what judge says is needed of keys, and how much it is at the most.
func (s *cachedStore) needed(keys []secret.Key,
	judge func(*cachedStore, secret.Key) need,
) (list []secret.Key, most need) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list = slices.DeleteFunc(keys, func(key secret.Key) bool {
		n := judge(s, key)
		most = max(most, n)
		return n == nothing
	})
	return list, most
}

// split sorts references by store, each key once.
func (all set) split(refs []secret.Ref) map[*cachedStore][]secret.Key {
	parts := make(map[*cachedStore][]secret.Key)
	seen := make(map[secret.Ref]bool, len(refs))
	for _, ref := range refs {
		ref.Field = ""
		if s := all[ref.Store]; s != nil && !seen[ref] {
			seen[ref] = true
			parts[s] = append(parts[s], keyOf(ref))
		}
	}
	return parts
}

// begin reads what choose names. The reading goes on when nobody waits for it any more.
func (s *cachedStore) begin(ctx context.Context, choose func() []secret.Key) <-chan struct{} {
	done := make(chan struct{})
	started := s.r.life.run(ctx, func(ctx context.Context) {
		defer close(done)
		_ = s.read(ctx, choose) // only the end of the lifetime
	})
	if !started {
		close(done)
	}
	return done
}

func (r *Resolver) wait(ctx context.Context, all []<-chan struct{}) error {
	patience := time.NewTimer(r.o.Patience)
	defer patience.Stop()
	for _, done := range all {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return nil
		}
	}
	return nil
}

// choose lists the keys that fit.
func (s *cachedStore) choose(fits func(secret.Key, *entry) bool) []secret.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []secret.Key
	for key, e := range s.entries {
		if fits(key, e) {
			keys = append(keys, key)
		}
	}
	return keys
}
