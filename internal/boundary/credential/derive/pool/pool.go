// Package pool keeps the derived tokens of a process fresh: one derive.Source for each derived credential in use.
//
// A Source lives as long as what it is made of, and its service. While a reload is under way, those of the next
// configuration stand beside the active ones, and are run once theirs is active. What is replaced is closed in its own
// time: what an attempt has spent goes on record.
package pool

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/service"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// Options are what a Pool needs.
type Options struct {
	Vault derive.Vault
	Owner derive.Owner
	// Record puts a call to a token endpoint on record before it is made; with its error no call is made.
	Record   func(ctx context.Context, name string) error
	Observe  func(derive.Observation)            // is told of each attempt; may be nil
	Panicked func(task string, why *fault.Panic) // is told of a panic in the background; may be nil
}

// Pool has the Sources of a process. It is safe for concurrent use.
type Pool struct {
	o Options

	mu      sync.Mutex
	list    map[key]*member
	retired []*member      // replaced, and perhaps still in the hands of requests
	closing guard.Group    // attempts of Sources that are no longer in use
	changed chan struct{}  // tells Run that the list has changed
	active  *service.Table // of active services; nil: all are
}

// key: while a reload is on its way, a service of the next configuration has its Source beside the active one's.
type key struct {
	name    string
	service *service.Service // has the transport
}

// member is a Source and what it was made of: when that changes, there is another.
type member struct {
	source *derive.Source
	inputs string
}

// reloadPatience is how long a new Source is given to find what is on record; later it looks again by itself.
const reloadPatience = 2 * time.Second

// New returns a Pool without tokens. Run keeps them fresh, Close ends it.
func New(o Options) *Pool {
	return &Pool{o: o, list: make(map[key]*member), changed: make(chan struct{}, 1)}
}

// Name is the name of the token of a service's credential, counted from 0. The first has the service's own, so that a
// second one beside it does not cost a consent.
func Name(service string, index int) string {
	if index == 0 {
		return service
	}
	return service + "/" + strconv.Itoa(index+1)
}

// Source returns the Source of that name, another one if what it is made of has changed.
func (p *Pool) Source(ctx context.Context, name string, svc *service.Service, m derive.Minter) *derive.Source {
	k := key{name, svc}
	p.mu.Lock()
	before := p.list[k]
	p.mu.Unlock()
	if before != nil && before.inputs == m.Inputs() {
		return before.source
	}
	s := derive.New(derive.Options{
		Name: name, Minter: m, Vault: p.o.Vault, Owner: p.o.Owner, Observe: p.o.Observe,
		Record: p.o.Record,
	})
	ctx, cancel := context.WithTimeout(ctx, reloadPatience)
	defer cancel()
	_ = s.Reload(ctx) // who needs the token finds the record out of reach again, and says so
	p.mu.Lock()
	defer p.mu.Unlock()
	before = p.list[k]
	p.list[k] = &member{source: s, inputs: m.Inputs()}
	if before != nil {
		p.retired = append(p.retired, before)
	}
	p.wake()
	return s
}

// Retire ends what has been replaced, once what replaces it is active.
func (p *Pool) Retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.retired {
		p.end(one)
	}
	p.retired = nil
}

// end lets an attempt under way come to its end, which may take as long as the provider does.
func (p *Pool) end(t *member) {
	const ending = "ending a derived token"
	p.closing.Go(ending, func() {
		if why := guard.Call(ending, t.source.Close); why != nil {
			p.panicked(why)
		}
	})
}

// panicked tells of a panic in the background.
func (p *Pool) panicked(why *fault.Panic) {
	if p.o.Panicked != nil {
		p.o.Panicked("derived token", why)
	}
}

// Keep ends the Sources of services that are gone.
func (p *Pool) Keep(gone func(*service.Service) bool) {
	p.remove(func(k key, _ *member) bool { return gone(k.service) })
	p.Retire()
}

// Forget drops the Source of that name if it has a token in memory, so that there will be another that has none. It
// returns the service, and that of the next configuration if there is one. The Source is ended by retire.
func (p *Pool) Forget(name string) (of []*service.Service) {
	p.remove(func(k key, one *member) bool {
		if _, f := one.source.Current(); k.name != name || f != nil {
			return false
		}
		of = append(of, k.service)
		return true
	})
	return of
}

func (p *Pool) remove(which func(key, *member) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.list, func(k key, one *member) bool {
		if !which(k, one) {
			return false
		}
		p.retired = append(p.retired, one)
		return true
	})
	p.wake()
}

func (p *Pool) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Names lists the tokens in use.
func (p *Pool) Names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for k := range p.list {
		names = append(names, k.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Activate says which services are active: the Sources of others wait for their turn.
func (p *Pool) Activate(t *service.Table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = t
	p.wake()
}

// sources are the Sources of active services by name. The caller holds mu.
func (p *Pool) sources() map[string]*derive.Source {
	list := make(map[string]*derive.Source, len(p.list))
	for k, one := range p.list {
		if p.active == nil || p.active.Holds(k.service) {
			list[k.name] = one.source
		}
	}
	return list
}

// Reload looks at the record of one token again: someone has minted or connected.
func (p *Pool) Reload(ctx context.Context, name string) error {
	for _, s := range p.named(name) {
		if err := s.Reload(ctx); err != nil {
			return fmt.Errorf("reading a derived token again: %w", err)
		}
	}
	return nil
}

// named are the Sources of that name.
func (p *Pool) named(name string) (list []*derive.Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, one := range p.list {
		if k.name == name {
			list = append(list, one.source)
		}
	}
	return list
}

// all are the active Sources.
func (p *Pool) all() []*derive.Source {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.sources()))
}

// Active are the Sources of active services, by the names of their tokens.
func (p *Pool) Active() map[string]*derive.Source {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sources()
}

// Run keeps the tokens fresh until ctx ends.
func (p *Pool) Run(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	var all guard.Group
	defer all.Wait()
	defer end() // before the waiting, also in a panic
	running := make(map[*derive.Source]context.CancelFunc)
	for {
		wanted := p.all()
		for _, s := range wanted {
			if running[s] == nil {
				own, stop := context.WithCancel(ctx)
				running[s] = stop
				all.Go("tending a derived token", func() { p.tend(own, s.Run) })
			}
		}
		for s, stop := range running {
			if !slices.Contains(wanted, s) {
				stop()
				delete(running, s)
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return
		case <-p.changed:
		}
	}
}

// tend is one of run's goroutines.
func (p *Pool) tend(ctx context.Context, loop func(context.Context)) {
	guard.Loop(ctx, "keeping a derived token fresh", loop, p.panicked)
}

// Close ends every attempt, by waiting for it: what it has spent must go on record.
func (p *Pool) Close() {
	p.mu.Lock()
	for _, one := range p.list {
		p.retired = append(p.retired, one)
	}
	clear(p.list)
	p.mu.Unlock()
	p.Retire()
	p.closing.Wait()
}
