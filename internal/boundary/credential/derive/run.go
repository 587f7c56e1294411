package derive

import (
	"context"
	"time"
)

// Reload looks at the record again: for a start with the token of the process before, and for when another replica has
// minted or a service was connected again. It mints nothing.
func (s *Source) Reload(ctx context.Context) error {
	s.mu.Lock()
	before := s.serial
	s.mu.Unlock()
	state, _, err := s.o.Vault.Load(ctx, s.o.Name)
	if err != nil {
		return storeFault("loading the derived token", err)
	}
	serves := s.serves(state, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.current.Load()
	if serves && s.flight == nil && s.serial == before && (h == nil || !h.token.Secret.Equal(state.Token)) {
		s.adopt(state)
		s.failure = nil
		s.wake()
	}
	return nil
}

// Run refreshes the token early, at 80 to 90 % of its lifetime, once there is one, until the context ends. A failure is
// tried again while the old token is good, or something minted is not on record yet; after that, when someone needs a
// token.
func (s *Source) Run(ctx context.Context) {
	_ = s.Reload(ctx) // who needs a token finds the record out of reach again, and says so
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Stop()
		if at, due := s.due(); due {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-timer.C:
			f := s.board(ctx, true)
			select {
			case <-f.done:
			case <-ctx.Done():
				return // Close waits for it
			}
		}
	}
}

// due is when the next early refresh is to be tried.
func (s *Source) due() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.current.Load()
	switch {
	case s.closed:
		return time.Time{}, false
	case s.unsaved && s.failure != nil:
		return s.failure.until, true
	case h == nil:
		return time.Time{}, false
	}
	at := h.refresh
	if s.failure != nil && s.failure.until.After(at) {
		at = s.failure.until
	}
	return at, at.Before(h.until)
}
