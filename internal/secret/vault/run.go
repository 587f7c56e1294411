package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

const (
	// idle is how often Run looks when nothing is due; it is woken by a login or a new lease.
	idle = time.Hour
	// again is how soon it tries again what has failed.
	again = 5 * time.Second
)

// Run implements secret.Runner: it renews the token and the leases, and replaces a token that cannot be renewed before
// it ends, so that no caller waits for a login. It does not log in before the store is used. What fails is tried again.
func (s *Store) Run(ctx context.Context) error {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		next := s.upkeep(ctx)
		timer.Reset(max(time.Until(next), 0))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.sessions.wake:
		}
	}
}

// upkeep does what is due and returns when to look again.
func (s *Store) upkeep(ctx context.Context) time.Time {
	next := s.keepToken(ctx)
	for path, l := range s.leases.all() {
		due := s.keepLease(ctx, path, l)
		if !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	return next
}

func (s *Store) keepToken(ctx context.Context) time.Time {
	far := time.Now().Add(idle)
	current := s.sessions.peek()
	if current.token.IsZero() {
		return far
	}
	if current.given && !current.examined {
		s.examineGiven(ctx, current)
		if current = s.sessions.peek(); !current.examined {
			return time.Now().Add(again)
		}
	}
	due := current.due()
	switch {
	case due.IsZero(), current.given && !current.renewable:
		return far
	case time.Now().Before(due):
		return due
	}
	if err := s.refresh(ctx, current); err != nil {
		return time.Now().Add(soon(time.Until(current.since.Add(current.ttl))))
	}
	if due = s.sessions.peek().due(); due.IsZero() {
		return far
	}
	return due
}

// soon is how long to wait with another try for a token that has left to live.
func soon(left time.Duration) time.Duration {
	if left <= 0 {
		return again
	}
	return min(again, max(left/4, 100*time.Millisecond))
}

// refresh renews the token, or logs in again if that gives more.
func (s *Store) refresh(ctx context.Context, current session) error {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	if current.renewable {
		started := time.Now()
		r, err := s.client.send(bounded, request{
			method: http.MethodPost, path: "auth/token/renew-self",
			body: struct{}{},
		}, current.token)
		ttl := time.Duration(0)
		if r.Auth != nil {
			ttl = time.Duration(r.Auth.LeaseDuration) * time.Second
		}
		_, refused := refusal(err)
		switch {
		case err != nil && !refused:
			return err
		case err == nil && (ttl >= current.full/2 || current.given && ttl > 0):
			// Near its greatest age a token gets less and less; a given one lives on as long as it can.
			aged := current.given && ttl < current.full/2
			s.sessions.prolong(current.number, func(k *session) { k.since, k.ttl, k.renewable = started, ttl, !aged })
			return nil
		}
	}
	if current.given {
		s.sessions.prolong(current.number, func(k *session) { k.renewable = false })
		return nil
	}
	return s.sessions.replace(bounded)
}

// examineGiven asks how long a token lives that someone else obtained. Where it may not ask, the token is not renewed.
func (s *Store) examineGiven(ctx context.Context, current session) {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	r, err := s.client.send(bounded, request{method: http.MethodGet, path: "auth/token/lookup-self"}, current.token)
	if _, refused := refusal(err); err != nil && !refused {
		return // it is asked again when Run looks the next time
	}
	ttl, creation := seconds(r.Data["ttl"]), seconds(r.Data["creation_ttl"])
	if period := seconds(r.Data["period"]); period > 0 {
		creation = period
	}
	renewable, _ := r.Data["renewable"].(bool)
	s.sessions.prolong(current.number, func(k *session) {
		k.since, k.ttl, k.full, k.renewable, k.examined = time.Now(), ttl, creation, renewable && ttl > 0, true
	})
}

func seconds(v any) time.Duration {
	n, _ := v.(json.Number)
	count, err := n.Int64()
	if err != nil {
		return 0
	}
	return time.Duration(count) * time.Second
}

// keepLease renews a lease that is due and returns when it is due again; zero is never.
func (s *Store) keepLease(ctx context.Context, path string, l lease) time.Time {
	if !l.renewable || l.session != s.sessions.peek().number {
		return time.Time{}
	}
	due := l.since.Add(l.ttl / 2) // before Get would replace it
	if time.Now().Before(due) {
		return due
	}
	s.renewLease(ctx, path, l)
	renewed, ok := s.leases.find(path, l.session, time.Now())
	if !ok || !renewed.renewable {
		return time.Time{}
	}
	return renewed.since.Add(renewed.ttl / 2)
}
