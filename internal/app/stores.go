package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport/internal/boundary/assemble"
	"sallyport/internal/config"
	"sallyport/internal/config/wording"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// Stores are the secret stores of a configuration. Each is opened when it is first needed. Safe for concurrent use.
// Close it.
type Stores struct {
	resolver *resolve.Resolver
	o        storesOptions

	mu     sync.Mutex
	active *setup
}

type storesOptions struct {
	own  func(context.Context) (secret.Store, error) // opens Sallyport's own store
	told bool                                        // of changes in it: it is not read again at intervals
	// how long a store is waited for; 0 is the resolver's own measure
	patience time.Duration
	// is told when a store stops answering, or answers again; may be nil
	noted func(store string, err error)
	// is told of each reading; may be nil
	read     func(store string, began time.Time, secrets int, err error)
	panicked func(*fault.Panic)                        // may be nil
	adapter  func(*config.Store) (secret.Store, error) // instead of the kinds' own, but for builtin ones, in tests
}

// builtinRefresh is how often the builtin store is read again by who, unlike the gate, is not told of its changes.
const builtinRefresh = 10 * time.Second

func newStores(c *config.Config, o storesOptions) *Stores {
	s := &Stores{o: o, resolver: resolve.New(resolve.Options{
		Patience: o.patience, Noted: o.noted, Read: o.read, Broke: o.panicked,
	})}
	s.active = s.plan(c)
	s.resolver.Configure(s.sources(s.active))
	return s
}

func (s *Stores) open(ctx context.Context, c *config.Store) (secret.Store, error) {
	if s.o.adapter != nil && !s.current().own(c) {
		return s.o.adapter(c)
	}
	return c.Settings.Open(ctx, secret.Host{Environ: os.Environ(), Own: s.o.own})
}

// Store opens a store by name, for what it can do beyond being read.
func (s *Stores) Store(ctx context.Context, name string) (secret.Store, error) {
	store, err := s.resolver.Store(ctx, name)
	if errors.Is(err, resolve.ErrNoStore) {
		names := s.names()
		hint := "the stores are " + strings.Join(names, ", ") + "; more are added under `stores` in sallyport.yaml"
		if near := wording.Nearest(name, names); near != "" {
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

// Resolve reads what refs name, one result per reference, in order. At ctx's end, which is the error beside the
// results, what has not come has an error of its own that is secret.ErrUnavailable.
func (s *Stores) Resolve(ctx context.Context, refs []secret.Ref) ([]secret.Result, error) {
	return s.resolver.Read(ctx, refs)
}

// Watch keeps refs up to date until ctx ends, and calls changed, never twice at once, when the value of one is another,
// is gone, or is back. The first reading of what Resolve could not have counts. At the end of ctx it returns nil; an
// error means that a reference names no store.
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

// Close closes every store but Sallyport's own.
func (s *Stores) Close() error { return s.resolver.Close() }

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

// held is what is in memory of a reference: its value, or why there is none, and what keeps it from being confirmed.
func (s *Stores) held(ref secret.Ref) (unconfirmed, err error) {
	_, _, unconfirmed, err = assemble.Held(s.resolver.Held).Of(ref)
	return unconfirmed, err
}

// againBuiltin reads the builtin stores' secrets again: another process has changed one.
func (s *Stores) againBuiltin(ctx context.Context) error {
	for _, name := range s.builtins() {
		if err := s.resolver.Again(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// plan compares the stores of c with the active ones. Those that are set up the same will go on as they are.
func (s *Stores) plan(c *config.Config) *setup {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &setup{config: c, set: c.StoreSet(), files: stamps(storeFiles(c)), generation: make(map[string]int)}
	before := s.active
	if before == nil {
		return p
	}
	maps.Copy(p.generation, before.generation)
	for name, one := range p.set {
		changed := func(file string) bool { return before.files[file] != p.files[file] }
		if old, ok := before.set[name]; !ok || !reflect.DeepEqual(old, one) ||
			slices.ContainsFunc(filesOf(one), changed) {
			p.generation[name]++
		}
	}
	return p
}

// current is the setup of the active configuration.
func (s *Stores) current() *setup {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

// sources are the stores of p as the resolver uses them.
func (s *Stores) sources(p *setup) []resolve.StoreSpec {
	var list []resolve.StoreSpec
	for _, name := range slices.Sorted(maps.Keys(p.set)) {
		one := p.set[name]
		refresh := one.Refresh
		kind, _ := p.config.Kinds().Store(one.Kind)
		if kind.Own && !s.o.told {
			refresh = builtinRefresh
		}
		list = append(list, resolve.StoreSpec{
			Name: name, Identity: strconv.Itoa(p.generation[name]), Backend: one.Backend(), Refresh: refresh,
			MaxStale: one.MaxStale,
			Moving:   kind.Moving,
			Open:     func(ctx context.Context) (secret.Store, error) { return s.open(ctx, one) },
		})
	}
	return list
}
