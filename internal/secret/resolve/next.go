package resolve

import (
	"context"
	"maps"
	"slices"

	"sallyport/internal/secret"
)

// set is the stores of one configuration by name.
type set map[string]*cachedStore

// Next is another set of stores that is made ready while the active one serves. Exactly one of Use and Drop ends it;
// there is one Next at a time, and nobody calls Keep or Configure meanwhile.
type Next struct {
	r      *Resolver
	stores set
	refs   []secret.Ref
}

// Prepare makes list and refs ready beside what is active, which goes on unchanged. A store of the active set whose
// Identity is the same serves both; another one begins with the last known good of the one that it will replace, if its
// Backend is the same.
func (r *Resolver) Prepare(list []StoreSpec, refs []secret.Ref) *Next {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := &Next{r: r, stores: make(set, len(list)), refs: slices.Clone(refs)}
	for _, spec := range list {
		old := r.stores[spec.Name]
		if old != nil && old.spec.Identity == spec.Identity {
			n.stores[spec.Name] = old
			continue
		}
		n.stores[spec.Name] = newCachedStore(spec, r)
		if old != nil && old.spec.Backend == spec.Backend {
			n.stores[spec.Name].inherit(old)
		}
	}
	parts := n.stores.split(refs)
	for _, s := range n.stores {
		if r.stores[s.spec.Name] == s {
			s.keepAlso(parts[s])
		} else {
			s.keepOnly(parts[s])
		}
	}
	return n
}

// Load reads what is not in memory yet, and waits for it as long as Load of the Resolver does. What a store that is set
// up differently has inherited is waited for too. The error is ctx's alone.
func (n *Next) Load(ctx context.Context) error {
	n.r.mu.Lock()
	active := maps.Clone(n.r.stores)
	n.r.mu.Unlock()
	return n.r.fetch(ctx, n.stores.split(n.refs), func(s *cachedStore, key secret.Key) need {
		if e := s.entries[key]; e != nil && !e.read && active[s.spec.Name] != s {
			return wanted
		}
		return missing(s, key)
	})
}

// Held is what Held of the Resolver will be after Use.
func (n *Next) Held(ref secret.Ref) (res secret.Result, unconfirmed error) {
	return n.stores.held(ref)
}

// Use puts n in the place of what is active, which is closed when nobody uses it any more.
func (n *Next) Use() {
	r := n.r
	n.replace()
	poke(r.altered)
	r.Keep(n.refs)
}

func (n *Next) replace() {
	r := n.r
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.stores
	r.stores, r.kept = n.stores, n.refs
	for name, before := range old {
		next := n.stores[name]
		if next == before {
			continue
		}
		if next != nil && next.spec.Backend == before.spec.Backend {
			next.inherit(before) // what has changed since Prepare
		}
		r.retire(before)
	}
}

// Drop leaves everything as it was before Prepare.
func (n *Next) Drop() {
	r := n.r
	r.mu.Lock()
	for name, s := range n.stores {
		if r.stores[name] != s {
			r.retire(s)
		}
	}
	kept := r.kept
	r.mu.Unlock()
	r.Keep(kept)
}

// retire ends a store. The caller holds r.mu.
func (r *Resolver) retire(s *cachedStore) {
	close(s.retired)
	s.mu.Lock()
	clear(s.entries)
	s.mu.Unlock()
	r.gone = append(r.gone, s)
	r.life.run(context.Background(), s.leave) //nolint:forbidigo // the lifetime's end is its end
}

// inherit takes over what old knows and this store has not read itself, to be read again.
func (s *cachedStore) inherit(old *cachedStore) {
	old.mu.Lock()
	defer old.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered.IsZero() {
		s.answered = old.answered
	}
	for key, e := range old.entries {
		own := s.entries[key]
		if own != nil && own.read {
			continue
		}
		taken := *e
		taken.read, taken.kept = false, own != nil && own.kept
		s.entries[key] = &taken
	}
	poke(s.moved)
}

// keepAlso keeps keys beside what is kept already.
func (s *cachedStore) keepAlso(keys []secret.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		if e := s.entry(key); !e.kept {
			e.kept = true
			poke(s.moved)
			poke(s.rewatch)
		}
	}
}
