// Package resolve keeps the secrets that are in use in memory, and up to date.
//
// A Resolver reads references from their stores, in batches where a store can, and remembers what it read: the last
// known good. Load and Read answer callers; Run, in the background, hears of changes where a store tells of them and
// asks at intervals where it does not. It knows secret.Store and its extra powers, and no adapter; what a value is used
// for is not its business, and nothing of it is ever on disk.
//
// Invariant: a store that is down or slow takes nothing from anybody whose secret is in memory, until MaxStale is over,
// and makes nobody wait for another store.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// What is wrong with a reference itself, whatever the store says.
var (
	ErrNoStore = errors.New("there is no such store") // also one that was taken out of the configuration
	ErrField   = errors.New("the field cannot be obtained")
)

// StoreSpec is a store as the resolver uses it.
type StoreSpec struct {
	Name string // of the store, as references have it

	// Open returns the store; it contacts nobody. It is called when the store is first needed, and again after an
	// error. A store that is an io.Closer is closed by the resolver.
	Open func(ctx context.Context) (secret.Store, error)

	// Identity is the store's configuration in a form that differs when the store does.
	Identity string

	// Backend is where the secrets are, in a form that differs when they are others. What was read from one backend is
	// never given out as the last known good of another.
	Backend string

	// Refresh is the interval at which secrets are read again, spread by a tenth. 0: they never change by themselves,
	// or Again says when.
	Refresh time.Duration

	// Moving tells which versions are names that can come to mean another version, such as AWSCURRENT. All others are
	// read once. nil: no version moves.
	Moving func(version string) bool

	// MaxStale is how long the last known good stays active while the store does not confirm it. 0: forever.
	MaxStale time.Duration
}

// Options are what a Resolver needs beside its stores.
type Options struct {
	// Patience is how long Load and Read wait for one store. What has not come by then is ErrUnavailable, and arrives
	// later by itself if Run runs. 0 is 10 s.
	Patience time.Duration

	// Noted is called, if set, when a store stops answering (with the error) and when it answers again (with nil).
	Noted func(store string, err error)

	// Read is called, if set, after each reading of a store: when it began, how many secrets it was asked for, and why
	// it gave none of them (nil: it gave some).
	Read func(store string, began time.Time, secrets int, err error)

	// Broke is told of a panic in a store, or in the resolver itself. A store's counts as an answer that did not come:
	// what is in memory stays active.
	Broke func(*fault.Panic)
}

// Change is what became different about a secret in memory.
type Change struct {
	Ref  secret.Ref // without its field
	Same bool       // the value is as before: only whether the store confirms it has changed
}

// Resolver is safe for concurrent use. Close it.
type Resolver struct {
	o       Options
	life    lifetime
	altered chan struct{} // a store came or went
	news    news

	mu     sync.Mutex
	stores set
	kept   []secret.Ref   // what Keep was last told
	gone   []*cachedStore // replaced, and to be closed
}

const defaultPatience = 10 * time.Second

// New returns a Resolver without stores.
func New(o Options) *Resolver {
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Noted == nil {
		o.Noted = func(string, error) {}
	}
	if o.Broke == nil {
		o.Broke = func(*fault.Panic) {}
	}
	return &Resolver{
		life: lifetime{broke: o.Broke}, o: o, altered: make(chan struct{}, 1),
		news: newNews(), stores: make(set),
	}
}

// Configure replaces the stores. One whose Identity is the same goes on as it is. One that is set up differently in the
// same Backend keeps what is in memory as the last known good and reads all of it again, pinned versions too.
func (r *Resolver) Configure(list []StoreSpec) {
	r.mu.Lock()
	kept := r.kept
	r.mu.Unlock()
	r.Prepare(list, kept).Use()
}

// Close ends what goes on and closes the stores. Run must have ended.
func (r *Resolver) Close() error {
	r.life.end()
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, s := range append(r.gone, slices.Collect(maps.Values(r.stores))...) {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// forget drops a store that is closed.
func (r *Resolver) forget(s *cachedStore) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = slices.DeleteFunc(r.gone, func(one *cachedStore) bool { return one == s })
}

// active is the set in use, which is never written to.
func (r *Resolver) active() set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stores
}

func (r *Resolver) store(name string) *cachedStore {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stores[name]
}

func (r *Resolver) all() []*cachedStore {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.stores), func(a, b *cachedStore) int {
		return strings.Compare(a.spec.Name, b.spec.Name)
	})
}

func closeStore(s secret.Store) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// poke sends without waiting; one signal that is not yet taken is enough.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Store returns an opened store, for what it can do beyond being read. The resolver closes it.
func (r *Resolver) Store(ctx context.Context, name string) (secret.Store, error) {
	s := r.store(name)
	if s == nil {
		return nil, fmt.Errorf("opening store %q: %w", name, ErrNoStore)
	}
	store, err := s.opened(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening store %q: %w", name, err)
	}
	return store, nil
}
