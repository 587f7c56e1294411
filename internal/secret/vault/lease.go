package vault

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"sallyport/internal/secret"
)

// lease is a secret that an engine made for us, with an end.
type lease struct {
	id        string
	session   int // the number of the session that it belongs to: it ends with its token
	since     time.Time
	ttl, full time.Duration
	renewable bool
	value     secret.Value
	version   secret.Version
}

// due is when to renew the lease, or to get a new secret.
func (l lease) due() time.Time { return l.since.Add(l.ttl * 2 / 3) }

// leases keeps the leased secrets: reading one again would make another one, a database user for instance.
type leases struct {
	turn   chan struct{} // holds one element while someone fetches
	mu     sync.Mutex
	byPath map[string]lease
}

func newLeases() *leases {
	return &leases{turn: make(chan struct{}, 1), byPath: make(map[string]lease)}
}

// find returns the lease for path if it is good for the session.
func (k *leases) find(path string, session int, now time.Time) (lease, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, ok := k.byPath[path]
	return l, ok && l.session == session && now.Before(l.due())
}

func (k *leases) put(path string, l lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byPath[path] = l
}

func (k *leases) all() map[string]lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.byPath)
}

// getLeased reads from an engine that is not KV. A leased secret stays the same until two thirds of its lease have
// passed without a renewal; the one before it is good for the last third. Only the active version can be read.
func (s *Store) getLeased(ctx context.Context, m mount, key, version string) (secret.Value, secret.Version, error) {
	select {
	case s.leases.turn <- struct{}{}:
		defer func() { <-s.leases.turn }()
	case <-ctx.Done():
		return secret.Value{}, secret.Version{}, ctx.Err()
	}
	owner, err := s.sessions.get(ctx)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	path := m.path + key
	l, ok := s.leases.find(path, owner.number, time.Now())
	if !ok {
		if l, err = s.fetch(ctx, path); err != nil {
			return secret.Value{}, secret.Version{}, err
		}
	}
	if version != "" && version != l.version.ID {
		return secret.Value{}, secret.Version{}, fmt.Errorf("version %q: %w", version, secret.ErrVersionGone)
	}
	return secret.NewValue(l.value.Reveal()), l.version, nil
}

func (s *Store) fetch(ctx context.Context, path string) (lease, error) {
	started := time.Now()
	r, err := s.ask(ctx, request{method: http.MethodGet, path: path})
	if err != nil {
		return lease{}, err
	}
	value, b, err := valueOf(r.Data)
	if err != nil {
		return lease{}, err
	}
	ttl := time.Duration(r.LeaseDuration) * time.Second
	l := lease{
		id: r.LeaseID, session: s.sessions.peek().number, since: started, ttl: ttl, full: ttl,
		renewable: r.Renewable, value: value,
		version: secret.Version{ID: s.fingerprint(b), Created: started.UTC(), Current: true},
	}
	if l.id != "" && ttl > 0 {
		s.leases.put(path, l)
		s.sessions.nudge()
	}
	return l, nil
}

// renewLease asks for the whole lease again. An engine gives less when the secret comes of age: then it is left to be
// replaced by the next Get.
func (s *Store) renewLease(ctx context.Context, path string, l lease) {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	started := time.Now()
	r, err := s.ask(bounded, request{
		method: http.MethodPost, path: "sys/leases/renew",
		body: map[string]any{"lease_id": l.id, "increment": int(l.full.Seconds())},
	})
	ttl := time.Duration(r.LeaseDuration) * time.Second
	if err != nil || ttl < l.full/2 {
		l.renewable = false
	} else {
		l.since, l.ttl = started, ttl
	}
	s.leases.put(path, l)
}
