package app

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/secret"
	"sallyport/internal/secret/resolve"
)

// setup is the stores of one configuration.
type setup struct {
	config     *config.Config
	set        map[string]*config.Store
	generation map[string]int    // of each store's set-up: a new one is a new identity
	files      map[string]string // stamps of what adapters read once, when they are opened
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
		if old, ok := before.set[name]; !ok || !reflect.DeepEqual(old, one) || slices.ContainsFunc(filesOf(one), changed) {
			p.generation[name]++
		}
	}
	return p
}

// own tells whether a store is Sallyport's own database.
func (p *setup) own(c *config.Store) bool {
	kind, _ := p.config.Kinds().Store(c.Kind)
	return kind.Own
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
			Name: name, Identity: strconv.Itoa(p.generation[name]), Backend: one.Backend(), Refresh: refresh, MaxStale: one.MaxStale,
			Moving: kind.Moving,
			Open:   func(ctx context.Context) (secret.Store, error) { return s.open(ctx, one) },
		})
	}
	return list
}

// keeps tells whether what a service names comes from stores that are the same in both.
func (p *setup) keeps(other *setup, c *config.Service) bool {
	if maps.Equal(p.generation, other.generation) {
		return true
	}
	return !slices.ContainsFunc(c.Refs(), func(ref secret.Ref) bool { return p.generation[ref.Store] != other.generation[ref.Store] })
}

// nextStores are the stores and secrets of a configuration that is not active yet. The active ones do not notice.
type nextStores struct {
	*resolve.Next

	s     *Stores
	setup *setup
}

// prepare makes the stores and secrets of p ready.
func (s *Stores) prepare(p *setup) *nextStores {
	return &nextStores{Next: s.resolver.Prepare(s.sources(p), references(p.config)), s: s, setup: p}
}

// load reads the secrets, and makes the credentials of those services of t that are not active yet. It ends early with ctx.
func (n *nextStores) load(ctx context.Context, a *assemble.Assembler, t, active *service.Table) {
	_ = n.Load(ctx) // each reference's own error is held
	for _, svc := range t.All() {
		if ctx.Err() != nil {
			return
		}
		if !active.Holds(svc) {
			_ = a.Publish(ctx, svc, n.Held) // the service has the failure
		}
	}
}

// use makes them the active ones.
func (n *nextStores) use() {
	n.s.mu.Lock()
	n.s.active = n.setup
	n.s.mu.Unlock()
	n.Use()
}
