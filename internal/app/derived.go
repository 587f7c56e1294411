package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/service"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/monitor"
)

// derivedTokens are the Sources of this process, one for each derived credential in use. It is safe for concurrent use.
type derivedTokens struct {
	vault   derive.Vault
	owner   derive.Owner
	observe func(derive.Observation)                     // set before the first use
	broke   func(task string, why *fault.Panic)          // is told of a panic; set before the first use
	record  func(ctx context.Context, name string) error // puts a call to a token endpoint on record first; set before the first use

	mu      sync.Mutex
	list    map[derivedKey]*derivedToken
	retired []*derivedToken // replaced, and perhaps still in the hands of requests
	closing guard.Group     // attempts of Sources that are no longer in use
	changed chan struct{}   // tells run that the list is another
	table   *service.Table  // of active services; nil: all are
}

// derivedKey: while a reload is on its way, a service of the next configuration has its Source beside the active one's.
type derivedKey struct {
	name    string
	service *service.Service // has the transport
}

// derivedToken is a Source and what it was made of: when that changes, there is another.
type derivedToken struct {
	source *derive.Source
	inputs string
}

// reloadPatience is how long a new Source is given to find what is on record; later it looks again by itself.
const reloadPatience = 2 * time.Second

func newDerivedTokens(v derive.Vault, o derive.Owner) *derivedTokens {
	return &derivedTokens{vault: v, owner: o, list: make(map[derivedKey]*derivedToken), changed: make(chan struct{}, 1)}
}

// derivedName is the name of the token of a service's credential, counted from 0. The first has the service's own, so that a
// second one beside it does not cost a consent.
func derivedName(service string, index int) string {
	if index == 0 {
		return service
	}
	return service + "/" + strconv.Itoa(index+1)
}

// source returns the Source of that name, another one if what it is made of has changed.
func (d *derivedTokens) source(ctx context.Context, name string, svc *service.Service, m derive.Minter) *derive.Source {
	key := derivedKey{name, svc}
	d.mu.Lock()
	before := d.list[key]
	d.mu.Unlock()
	if before != nil && before.inputs == m.Inputs() {
		return before.source
	}
	s := derive.New(derive.Options{Name: name, Minter: m, Vault: d.vault, Owner: d.owner, Observe: d.observe, Record: d.record})
	ctx, cancel := context.WithTimeout(ctx, reloadPatience)
	defer cancel()
	_ = s.Reload(ctx) // who needs the token finds the record out of reach again, and says so
	d.mu.Lock()
	defer d.mu.Unlock()
	before = d.list[key]
	d.list[key] = &derivedToken{source: s, inputs: m.Inputs()}
	if before != nil {
		d.retired = append(d.retired, before)
	}
	d.wake()
	return s
}

// retire ends what has been replaced, once what replaces it is active.
func (d *derivedTokens) retire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.retired {
		d.end(one)
	}
	d.retired = nil
}

// end lets an attempt under way come to its end, which may take as long as the provider does.
func (d *derivedTokens) end(t *derivedToken) {
	const ending = "ending a derived token"
	d.closing.Go(ending, func() {
		if why := guard.Call(ending, t.source.Close); why != nil {
			d.panicked(why)
		}
	})
}

// panicked tells of a panic in the background.
func (d *derivedTokens) panicked(why *fault.Panic) {
	if d.broke != nil {
		d.broke("derived token", why)
	}
}

// keep ends the Sources of services that are gone.
func (d *derivedTokens) keep(gone func(*service.Service) bool) {
	d.remove(func(key derivedKey, _ *derivedToken) bool { return gone(key.service) })
	d.retire()
}

// forget drops the Source of that name if it has a token in memory, so that there will be another that has none. It returns the
// service, and that of the next configuration if there is one. The Source is ended by retire.
func (d *derivedTokens) forget(name string) (of []*service.Service) {
	d.remove(func(key derivedKey, one *derivedToken) bool {
		if _, f := one.source.Current(); key.name != name || f != nil {
			return false
		}
		of = append(of, key.service)
		return true
	})
	return of
}

func (d *derivedTokens) remove(which func(derivedKey, *derivedToken) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.list, func(key derivedKey, one *derivedToken) bool {
		if !which(key, one) {
			return false
		}
		d.retired = append(d.retired, one)
		return true
	})
	d.wake()
}

func (d *derivedTokens) wake() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// names lists the tokens in use.
func (d *derivedTokens) names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for key := range d.list {
		names = append(names, key.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// activate says which services are active: the Sources of others wait for their turn.
func (d *derivedTokens) activate(t *service.Table) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table = t
	d.wake()
}

// active are the Sources of active services by name. The caller holds mu.
func (d *derivedTokens) active() map[string]*derive.Source {
	list := make(map[string]*derive.Source, len(d.list))
	for key, one := range d.list {
		if d.table == nil || holds(d.table, key.service) {
			list[key.name] = one.source
		}
	}
	return list
}

// reload looks at the record of one token again: someone has minted or connected.
func (d *derivedTokens) reload(ctx context.Context, name string) error {
	for _, s := range d.named(name) {
		if err := s.Reload(ctx); err != nil {
			return fmt.Errorf("reading a derived token again: %w", err)
		}
	}
	return nil
}

// named are the Sources of that name.
func (d *derivedTokens) named(name string) (list []*derive.Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, one := range d.list {
		if key.name == name {
			list = append(list, one.source)
		}
	}
	return list
}

// all are the active Sources.
func (d *derivedTokens) all() []*derive.Source {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.active()))
}

// run keeps the tokens fresh until ctx ends.
func (d *derivedTokens) run(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	var all guard.Group
	defer all.Wait()
	defer end() // before the waiting, also in a panic
	running := make(map[*derive.Source]context.CancelFunc)
	for {
		wanted := d.all()
		for _, s := range wanted {
			if running[s] == nil {
				own, stop := context.WithCancel(ctx)
				running[s] = stop
				all.Go("tending a derived token", func() { d.tend(own, s.Run) })
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
		case <-d.changed:
		}
	}
}

// tend is one of run's goroutines.
func (d *derivedTokens) tend(ctx context.Context, loop func(context.Context)) {
	guard.Loop(ctx, "keeping a derived token fresh", loop, d.panicked)
}

// close ends every attempt, by waiting for it: what it has spent must go on record.
func (d *derivedTokens) close() {
	d.mu.Lock()
	for _, one := range d.list {
		d.retired = append(d.retired, one)
	}
	clear(d.list)
	d.mu.Unlock()
	d.retire()
	d.closing.Wait()
}

// collect tells how the tokens are.
func (d *derivedTokens) collect(emit func(monitor.Gauge), now time.Time) {
	d.mu.Lock()
	list := d.active()
	d.mu.Unlock()
	for name, one := range list {
		emit(monitor.Gauge{Desc: monitor.DerivedHealthy, Value: truth(one.Trouble() == nil), Labels: []string{name}})
		if t, f := one.Current(); f == nil {
			emit(monitor.Gauge{Desc: monitor.DerivedExpiry, Value: t.Expiry.Sub(now).Seconds(), Labels: []string{name}})
		}
	}
}

// parts tells of the tokens that cannot be obtained. Each is its service's failure, and leaves the gate ready for the others.
func (d *derivedTokens) parts() []monitor.Part {
	d.mu.Lock()
	defer d.mu.Unlock()
	var parts []monitor.Part
	list := d.active()
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if f := list[name].Trouble(); f != nil {
			parts = append(parts, monitor.Part{Name: "token of " + name, Ready: true, Why: string(f.Code) + ": " + f.Message, Hint: f.Hint})
		}
	}
	return parts
}

// mintEvent is the record of a call to a token endpoint: the credential leaves for it.
func mintEvent(actor, name string) *audit.Event {
	return &audit.Event{Actor: actor, Action: "token.mint", Subject: name}
}

// minted counts an attempt to have a token, and logs one that failed. Nothing of it quotes a token.
func (a *App) minted(o derive.Observation) {
	a.metrics.Minted(o)
	if why, ok := errors.AsType[*fault.Panic](failure(o)); ok && why.Tell() {
		a.metrics.Panicked()
		a.log.Error("minting a token ended in a panic: this is a mistake in Sallyport", "service", o.Name, "what", why.What, "stack", why.Stack)
	}
	if o.Fault != nil {
		a.log.Warn("a token could not be obtained", "service", o.Name, "code", o.Fault.Code, "why", o.Fault.Message, "hint", o.Fault.Hint)
		return
	}
	a.log.Info("a token was obtained", "service", o.Name, "took", o.Took)
}

// failure is o.Fault as an error, which is nil when there is none.
func failure(o derive.Observation) error {
	if o.Fault == nil {
		return nil
	}
	return o.Fault
}
