package token

import (
	"fmt"
	"time"

	"sallyport/internal/fault"
)

// Bound makes Verify refuse every token while it has not been told, for maxStale, that no change was missed: with an
// old view it would accept what was revoked. Until FreshSince is called for the first time there is none. Call it
// before Verify.
func (r *Registry) Bound(maxStale time.Duration) {
	r.bound = maxStale
	r.fresh.Store(&time.Time{})
}

// FreshSince tells that the view has every change up to at. An older time than one that was told changes nothing.
func (r *Registry) FreshSince(at time.Time) {
	until := at.Add(r.bound)
	for {
		known := r.fresh.Load()
		if known != nil && !until.After(*known) || r.fresh.CompareAndSwap(known, &until) {
			return
		}
	}
}

// StaleFor is for how long a change can have been missed at the time now; 0 when that does not matter.
func (r *Registry) StaleFor(now time.Time) time.Duration {
	if r.bound == 0 {
		return 0
	}
	return max(0, now.Sub(r.fresh.Load().Add(-r.bound)))
}

// Stale is why no token is accepted for now, or nil. The view may be complete all the same, but nobody knows.
func (r *Registry) Stale() *fault.Fault { return r.staleAt(r.now()) }

func (r *Registry) staleAt(now time.Time) *fault.Fault {
	if r.bound == 0 {
		return nil
	}
	// By both clocks: the monotonic one stands still while a machine is suspended, and the other one can be set back.
	if until := r.fresh.Load(); now.Before(*until) && now.Round(0).Before(until.Round(0)) {
		return nil
	}
	return fault.New(fault.StoreUnavailable,
		fmt.Sprintf("this replica could not learn for %s which proxy tokens were revoked, so it accepts none", r.bound))
}
