package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// Stores are the secret stores of a configuration. Each is opened when it is first needed; the database and the seal key are
// touched for a builtin reference alone. Safe for concurrent use. Close it.
type Stores struct {
	resolver *resolve.Resolver
	noted    func(store string, err error) // set before the first use; so is broke
	broke    func(*fault.Panic)
	adapter  func(*config.Store) (secret.Store, error) // instead of the kinds' own, but for builtin ones, in tests

	mu       sync.Mutex
	active   *setup
	state    *State // for the builtin store
	opened   bool   // state was opened here
	mixtures map[*service.Service]*mixture
}

// builtinRefresh is how often the builtin store is read again by who, unlike the gate, is not told of its changes.
const builtinRefresh = 10 * time.Second

// OpenStores returns the stores of c. It contacts nobody. How long a store is waited for is up to the caller's context: a
// command for each of many secrets takes its time.
func OpenStores(_ context.Context, c *config.Config) (*Stores, error) {
	return newStores(c, nil, math.MaxInt64), nil
}

// newStores takes how long a store is waited for; 0 is the resolver's own measure.
func newStores(c *config.Config, state *State, patience time.Duration) *Stores {
	s := &Stores{state: state}
	s.resolver = resolve.New(resolve.Options{Patience: patience, Noted: func(store string, err error) {
		if s.noted != nil {
			s.noted(store, err)
		}
	}, Broke: func(why *fault.Panic) {
		if s.broke != nil {
			s.broke(why)
		}
	}})
	s.active = s.plan(c)
	s.resolver.Configure(s.sources(s.active))
	return s
}

// filesOf are those that a store reads once, when it is opened. Tokens and their like are read each time.
func filesOf(c *config.Store) []string {
	return slices.DeleteFunc(c.Settings.Files(), func(name string) bool { return name == "" })
}

func storeFiles(c *config.Config) (list []string) {
	for _, one := range c.Stores {
		list = append(list, filesOf(one)...)
	}
	return list
}

func (s *Stores) open(ctx context.Context, c *config.Store) (secret.Store, error) {
	if s.adapter != nil && !s.current().own(c) {
		return s.adapter(c)
	}
	return c.Settings.Open(ctx, secret.Host{Environ: os.Environ(), Own: s.own})
}

// own opens the builtin store with its database, which may be open already.
func (s *Stores) own(ctx context.Context) (secret.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		state, err := Open(ctx, s.active.config)
		if err != nil {
			return nil, err
		}
		s.state, s.opened = state, true
	}
	return s.state.Builtin, nil
}

// State is the state beneath the builtin store, for what has to be on record before that store is read.
func (s *Stores) State(ctx context.Context) (*State, error) {
	if _, err := s.own(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, nil
}

// Store opens a store by name, for what it can do beyond being read.
func (s *Stores) Store(ctx context.Context, name string) (secret.Store, error) {
	store, err := s.resolver.Store(ctx, name)
	if errors.Is(err, resolve.ErrNoStore) {
		names := s.names()
		hint := "the stores are " + joined(names) + "; more are added under `stores` in sallyport.yaml"
		if near := config.Nearest(name, names); near != "" {
			hint = fmt.Sprintf("did you mean %q? %s", near, hint)
		}
		return nil, fault.WithHint(err, hint)
	}
	return store, err
}

func (s *Stores) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.active.set))
}

// Resolve reads what refs name, one result per reference, in order. At ctx's end, which is the error beside the results,
// what has not come has an error of its own that is secret.ErrUnavailable.
func (s *Stores) Resolve(ctx context.Context, refs []secret.Ref) ([]secret.Result, error) {
	return s.resolver.Read(ctx, refs)
}

// Watch keeps refs up to date until ctx ends, and calls changed, never twice at once, when the value of one is another, is gone,
// or is back. The first reading of what Resolve could not have counts. At the end of ctx it returns nil; an error means that
// a reference names no store.
func (s *Stores) Watch(ctx context.Context, refs []secret.Ref, changed func()) error {
	known := s.names()
	for _, ref := range refs {
		if !slices.Contains(known, ref.Store) {
			return fmt.Errorf("watching %s: %w", ref, resolve.ErrNoStore)
		}
	}
	s.resolver.Keep(refs)
	s.resolver.Run(ctx, func(list []resolve.Change) {
		if slices.ContainsFunc(list, func(c resolve.Change) bool { return !c.Same }) {
			changed()
		}
	})
	return nil
}

// Close closes every store, and the database if it was opened here.
func (s *Stores) Close() error {
	err := s.resolver.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		err = errors.Join(err, s.state.Close())
		s.state, s.opened = nil, false
	}
	return err
}

// builtins lists the stores that are builtin, whatever their name.
func (s *Stores) builtins() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for name, c := range s.active.set {
		if s.active.own(c) {
			list = append(list, name)
		}
	}
	return list
}

// Store opens a store of the configuration by name, for what it can do beyond being read.
func (s *State) Store(ctx context.Context, name string) (secret.Store, error) {
	return s.stores.Store(ctx, name)
}

// StoreChanged is Changed for the secrets of a store.
func (s *State) StoreChanged(ctx context.Context, name string) error {
	if slices.Contains(s.stores.builtins(), name) {
		return s.Changed(ctx, topicSecrets)
	}
	// The database has no part in it, but its numbers are how other replicas hear of it.
	if err := s.DB.Notify(ctx, topicStore+name); err != nil {
		return err
	}
	return s.Changed(ctx, topicStore+name)
}
