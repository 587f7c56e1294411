package resolve

import (
	"errors"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// entry is one secret in memory.
type entry struct {
	value     secret.Value // the last known good
	version   secret.Version
	confirmed time.Time // when the store last gave it; zero: there is no last known good
	err       error     // of the last reading, nil when it succeeded
	read      bool      // there was a reading
	kept      bool      // Keep names it
	told      state     // what the last Change told of
}

// state is how an entry stands.
type state int

const (
	unread state = iota
	good
	stale // the last known good is active
	bad   // there is nothing to use
)

var errUnread = errors.New("it has not been read yet")

// definitive tells errors that are the store's answer about a secret, not about the store.
func definitive(err error) bool {
	return errors.Is(err, secret.ErrNotFound) || errors.Is(err, secret.ErrVersionGone)
}

// take writes down a reading, and tells whether the value is another.
func (e *entry) take(res secret.Result, now time.Time) (different bool) {
	e.read, e.err = true, res.Err
	switch {
	case res.Err == nil:
		different = e.confirmed.IsZero() || !e.value.Equal(res.Value)
		if different {
			e.value = res.Value // an equal one stays: one copy of it is enough
		}
		e.version, e.confirmed = res.Version, now
	case definitive(res.Err):
		different = !e.confirmed.IsZero()
		e.value, e.version, e.confirmed = secret.Value{}, secret.Version{}, time.Time{}
	}
	return different
}

// since is when the store last confirmed the entry, by itself or by answering while its watch holds.
func (e *entry) since(s *cachedStore) time.Time {
	if s.vouched.After(e.confirmed) && e.err == nil {
		return s.vouched
	}
	return e.confirmed
}

// state returns how the entry stands at a time; pinned versions cannot go stale.
func (e *entry) state(key secret.Key, s *cachedStore, now time.Time) state {
	pinned := s.pinned(key)
	switch {
	case e.confirmed.IsZero() && !e.read:
		return unread
	case e.confirmed.IsZero():
		return bad
	case pinned, e.err == nil && s.down == nil:
		return good
	case s.spec.MaxStale > 0 && now.Sub(e.since(s)) >= s.spec.MaxStale:
		return bad
	}
	return stale
}

func (s state) usable() bool { return s == good || s == stale }

// result is what a caller gets: a value, or why there is none. unconfirmed is why the value is not confirmed.
func (e *entry) result(key secret.Key, s *cachedStore, now time.Time) (res secret.Result, unconfirmed error) {
	why := e.err
	if why == nil {
		why = s.down
	}
	switch e.state(key, s, now) {
	case unread:
		if why == nil {
			why = errUnread
		}
		if !errors.Is(why, secret.ErrUnavailable) {
			why = fmt.Errorf("%w: %w", secret.ErrUnavailable, why)
		}
		return failure(key, s, why), nil
	case good:
		return secret.Result{Value: e.value, Version: e.version}, nil
	case stale:
		return secret.Result{Value: e.value, Version: e.version}, why
	case bad:
	}
	if e.confirmed.IsZero() {
		return secret.Result{Err: why}, nil
	}
	expired := fault.WithHint(fmt.Errorf("%w: nothing from it for longer than max_stale (%v), last: %w",
		secret.ErrUnavailable, s.spec.MaxStale, why), fault.HintOf(why))
	return failure(key, s, expired), nil
}

func failure(key secret.Key, s *cachedStore, why error) secret.Result {
	return secret.Result{Err: fmt.Errorf("reading secret %q from %s: %w", key.Path, s.spec.Name, why)}
}
