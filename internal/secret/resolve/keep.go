package resolve

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

const (
	firstRetry = time.Second
	retryTold  = 5 * time.Second // of what could not be read in a store that has no interval
	// of a watched store: each so many intervals everything is read, in case the watch missed some
	fullEvery = 10
)

// Keep names what is to be kept up to date from now on. What is in memory and not among refs is forgotten.
func (r *Resolver) Keep(refs []secret.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = slices.Clone(refs)
	parts := r.stores.split(refs)
	for _, s := range r.stores {
		s.keepOnly(parts[s])
	}
}

func (s *cachedStore) keepOnly(keys []secret.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isRetired() {
		return
	}
	before, fresh := len(s.entries), false
	entries := make(map[secret.Key]*entry, len(keys))
	for _, key := range keys {
		e := s.entry(key)
		fresh = fresh || !e.kept
		e.kept = true
		entries[key] = e
	}
	s.entries = entries
	if fresh || before != len(entries) {
		poke(s.moved)
		poke(s.rewatch)
	}
}

// Run keeps what Keep names up to date until ctx ends, and calls changed, never twice at once, with what became
// different. One Run at a time.
func (r *Resolver) Run(ctx context.Context, changed func([]Change)) {
	ctx, cancel := context.WithCancel(ctx)
	var all guard.Group
	defer all.Wait()
	defer cancel()
	running := make(map[*cachedStore]bool)
	for {
		maps.DeleteFunc(running, func(s *cachedStore, _ bool) bool { return s.isRetired() }) // it does not come back
		for _, s := range r.all() {
			if !running[s] {
				running[s] = true
				all.Go(s.doing("keeping"), func() { guard.Loop(ctx, s.doing("keeping"), s.run, r.o.Broke) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-r.altered:
		case <-r.news.arrived:
			r.tell(changed)
		}
	}
}

// tell calls changed with the news. They stay news when it ends in a panic, so that the next Run tells of them.
func (r *Resolver) tell(changed func([]Change)) {
	list, told := r.news.take(), false
	defer func() {
		if !told {
			r.news.add(list)
		}
	}()
	changed(list)
	told = true
}

// doing names what goes on about a store, for people.
func (s *cachedStore) doing(what string) string { return fmt.Sprintf("%s store %q", what, s.spec.Name) }

// run is all that goes on about a store until ctx ends or another takes its place.
func (s *cachedStore) run(whole context.Context) {
	s.setRunning(true)
	defer func() {
		if s.setRunning(false); s.isRetired() {
			s.leave(whole)
		}
	}()
	ctx, cancel := context.WithCancel(whole)
	var all guard.Group
	for what, loop := range map[string]func(context.Context){
		"polling": s.poll, "watching": s.watch,
		"working for": s.work,
	} {
		all.Go(s.doing(what), func() { guard.Loop(ctx, s.doing(what), loop, s.r.o.Broke) })
	}
	select {
	case <-ctx.Done():
	case <-s.retired:
	}
	cancel()
	all.Wait()
}

// poll reads what is due, when it is.
func (s *cachedStore) poll(ctx context.Context) {
	timer := time.NewTimer(s.pause(0))
	defer timer.Stop()
	rounds, failures := 0, 0
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-s.hints.arrived:
			err = s.read(ctx, s.hinted)
		case <-s.moved:
			err = s.read(ctx, s.unread)
		case <-timer.C:
			rounds++
			s.expire() // before the round, which may take long
			err = s.round(ctx, rounds)
			if s.expire(); s.isDown() {
				failures++
			} else {
				failures = 0
			}
			timer.Reset(s.pause(failures))
		}
		if err != nil {
			return
		}
	}
}

// pause is how long until the next round: the interval, spread by a tenth so that replicas do not ask together; while
// the store is down, sooner at first; and never past the moment at which a last known good runs out.
func (s *cachedStore) pause(failures int) time.Duration {
	wait := s.spec.Refresh
	switch {
	case failures > 0:
		wait = firstRetry << min(failures-1, 20)
		if limit := max(s.spec.Refresh, retryTold); wait > limit {
			wait = limit
		}
	case s.isDown():
		wait = firstRetry
	case wait == 0:
		wait = retryTold
	}
	wait += time.Duration((rand.Float64() - 0.5) / 5 * float64(wait)) //nolint:gosec // not for secrets
	if left, any := s.untilExpiry(); any {
		wait = min(wait, left)
	}
	return wait
}

// round reads everything again, or, of a store that is down or watched, little enough to see whether it answers.
func (s *cachedStore) round(ctx context.Context, rounds int) error {
	down, watched := s.standing()
	if !down && (!watched || rounds%fullEvery == 1) {
		return s.read(ctx, s.due)
	}
	if err := s.read(ctx, s.probe); err != nil {
		return err
	}
	if still, _ := s.standing(); still {
		return nil
	}
	if down {
		return s.read(ctx, s.due)
	}
	return s.read(ctx, s.unread)
}

func (s *cachedStore) isDown() bool {
	down, _ := s.standing()
	return down
}

func (s *cachedStore) standing() (down, watched bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down != nil, s.watched
}

// due is everything that can have changed; in a store that says when, what could not be read.
func (s *cachedStore) due() []secret.Key {
	if s.spec.Refresh == 0 {
		return s.unread()
	}
	return s.choose(func(key secret.Key, e *entry) bool {
		return e.kept && (!s.pinned(key) || !e.read || e.err != nil)
	})
}

// unread is what is kept and could not be read.
func (s *cachedStore) unread() []secret.Key {
	return s.choose(func(_ secret.Key, e *entry) bool { return e.kept && (!e.read || e.err != nil) })
}

// probe is one secret whose reading shows whether the store answers: one that was read the last time, if there is one,
// and one that can go stale rather than one that cannot.
func (s *cachedStore) probe() []secret.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	var best []secret.Key
	most := -1
	for key, e := range s.entries {
		rank := 0
		if !s.pinned(key) {
			rank++
		}
		if e.err == nil {
			rank += 2
		}
		if e.kept && rank > most {
			best, most = []secret.Key{key}, rank
		}
	}
	return best
}

// hinted is what the store said has changed.
func (s *cachedStore) hinted() []secret.Key {
	all, paths := s.hints.take()
	return s.choose(func(key secret.Key, e *entry) bool { return e.kept && !s.pinned(key) && (all || paths[key.Path]) })
}

// untilExpiry is the time until the first last known good runs out.
func (s *cachedStore) untilExpiry() (left time.Duration, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spec.MaxStale == 0 {
		return 0, false
	}
	now := time.Now()
	for key, e := range s.entries {
		if e.kept && e.state(key, s, now) == stale && !s.pinned(key) {
			if l := s.spec.MaxStale - now.Sub(e.since(s)); !any || l < left {
				left, any = l, true
			}
		}
	}
	return left, any
}

// expire tells of what has run out.
func (s *cachedStore) expire() {
	s.r.news.add(func() []Change {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.noteAll(nil)
	}())
}
