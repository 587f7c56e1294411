package resolve

import (
	"time"
)

// Status is how a store and what is kept of it stand.
type Status struct {
	Store    string
	Up       bool          // it answered the last time it was asked, or was never asked
	Why      error         // if not
	Answered time.Time     // when it last answered; zero: never
	Kept     int           // secrets that are kept up to date
	Stale    int           // of these, active without the store's confirmation
	Missing  int           // of these, without a value to use
	Oldest   time.Duration // since the store last confirmed the one that waits longest; 0 when all are confirmed
}

// Status returns one line per store that something is kept of, by name.
func (r *Resolver) Status() []Status {
	var list []Status
	for _, s := range r.all() {
		if st := s.status(time.Now()); st.Kept > 0 {
			list = append(list, st)
		}
	}
	return list
}

func (s *cachedStore) status(now time.Time) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Store: s.spec.Name, Up: s.down == nil, Why: s.down, Answered: s.answered}
	for key, e := range s.entries {
		if !e.kept {
			continue
		}
		st.Kept++
		switch e.state(key, s, now) {
		case good:
			continue
		case stale:
			st.Stale++
		default:
			st.Missing++
		}
		if !e.confirmed.IsZero() && !s.pinned(key) {
			st.Oldest = max(st.Oldest, now.Sub(e.since(s)))
		}
	}
	return st
}
