package vault

import (
	"context"
	"errors"
	"sync"
	"time"

	"sallyport/internal/secret"
)

// session is a token and what is known of its life.
type session struct {
	token     secret.Value
	since     time.Time     // of the login or the last renewal
	ttl       time.Duration // from since; 0 is not known, or without end
	full      time.Duration // the ttl at the login: what a renewal gives back, until the token comes of age
	renewable bool
	given     bool      // someone else logs in: this process only reads the token
	recheck   time.Time // when to read a given token again
	examined  bool      // the life of a given token was asked for
	number    int       // counts the tokens of this process: leases belong to one
}

func newSession(auth *granted) session {
	ttl := time.Duration(auth.LeaseDuration) * time.Second
	return session{
		token: secret.NewValue([]byte(auth.ClientToken)), since: time.Now(), ttl: ttl, full: ttl,
		renewable: auth.Renewable,
	}
}

// usable tells whether the token can be expected to be good at now.
func (s session) usable(now time.Time) bool {
	if s.token.IsZero() || (s.given && !now.Before(s.recheck)) {
		return false
	}
	return s.given || s.ttl == 0 || now.Before(s.since.Add(s.ttl-margin(s.ttl)))
}

// due is when the token should be renewed or replaced, long before it ends; zero is never.
func (s session) due() time.Time {
	if s.ttl == 0 || s.token.IsZero() {
		return time.Time{}
	}
	return s.since.Add(s.ttl * 2 / 3)
}

// margin is how long before its end a token is no longer used: a request takes time.
func margin(ttl time.Duration) time.Duration { return min(ttl/10, 5*time.Second) }

// sessions keeps the one session of the process. Whoever needs one while there is none waits for the same login.
type sessions struct {
	method  method
	mu      sync.Mutex
	current session
	flight  *flight
	wake    chan struct{} // has one element when Run has something new to look at
}

// flight is a login under way. Its result may be read when done is closed.
type flight struct {
	done      chan struct{}
	session   session
	err       error
	abandoned bool // the caller that led it gave up: the next one leads
}

func newSessions(m method) *sessions { return &sessions{method: m, wake: make(chan struct{}, 1)} }

// get returns the session, after a login if there is none.
func (k *sessions) get(ctx context.Context) (session, error) {
	for {
		k.mu.Lock()
		if k.current.usable(time.Now()) {
			defer k.mu.Unlock()
			return k.current, nil
		}
		f, leads := k.flight, k.flight == nil
		if leads {
			f = &flight{done: make(chan struct{})}
			k.flight = f
		}
		k.mu.Unlock()
		if leads {
			return k.lead(ctx, f)
		}
		select {
		case <-ctx.Done():
			return session{}, ctx.Err()
		case <-f.done:
		}
		if !f.abandoned {
			return f.session, f.err
		}
	}
}

// lead logs in for everybody who waits.
func (k *sessions) lead(ctx context.Context, f *flight) (session, error) {
	fresh, err := k.method.login(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		f.session = k.accept(fresh)
	}
	f.err, f.abandoned = err, err != nil && ctx.Err() != nil
	k.flight = nil
	close(f.done)
	return f.session, f.err
}

// accept makes fresh the current session. A given token that has not changed goes on as it was. k.mu is held.
func (k *sessions) accept(fresh session) session {
	if fresh.given && fresh.token.Equal(k.current.token) {
		k.current.recheck = fresh.recheck
		return k.current
	}
	fresh.number = k.current.number + 1
	k.current = fresh
	k.nudge()
	return fresh
}

// drop forgets the session numbered number, unless someone has already done so. The number goes on counting.
func (k *sessions) drop(number int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current.number != number {
		return
	}
	if k.current.given {
		k.current.recheck = time.Time{}
		return
	}
	k.current.token = secret.Value{}
}

// prolong notes what a renewal or a look at the token has told of the session numbered number.
func (k *sessions) prolong(number int, note func(*session)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current.number == number {
		note(&k.current)
	}
}

// replace logs in again while the old session still serves.
func (k *sessions) replace(ctx context.Context) error {
	fresh, err := k.method.login(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.accept(fresh)
	return nil
}

// peek returns the session as it is.
func (k *sessions) peek() session {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// lockedOut tells whether a denial is not of one secret: the login has failed, or the token is not known.
func (s *Store) lockedOut(denied error) bool {
	return errors.Is(denied, secret.ErrDenied) && (errors.Is(denied, errBadToken) || s.sessions.peek().token.IsZero())
}

// nudge wakes Run.
func (k *sessions) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}
