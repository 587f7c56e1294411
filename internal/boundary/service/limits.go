package service

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// Limits holds a service to its rate and its number of requests at once. Limits that name nothing let everything pass.
type Limits struct {
	limiter     *rate.Limiter
	concurrency int64
	active      *atomic.Int64
}

func newLimits(c config.Limits) *Limits {
	l := &Limits{concurrency: int64(c.Concurrency), active: new(atomic.Int64)}
	if !c.Rate.IsZero() {
		burst := c.Burst
		if burst == 0 {
			burst = max(1, int(c.Rate.PerSecond()))
		}
		l.limiter = rate.NewLimiter(rate.Limit(c.Rate.PerSecond()), burst)
	}
	return l
}

// Acquire takes a place, which Release gives back, or says when to come again.
func (l *Limits) Acquire(now time.Time) *fault.Fault {
	if n := l.active.Add(1); l.concurrency > 0 && n > l.concurrency {
		l.active.Add(-1)
		return fault.New(fault.RateLimited, "the service's limit of requests at one time is reached")
	}
	if l.limiter == nil {
		return nil
	}
	r := l.limiter.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		l.active.Add(-1)
		return fault.New(fault.RateLimited,
			"the service's rate limit is reached").WithRetryAfter(wait + time.Second - 1)
	}
	return nil
}

// Release gives a place back.
func (l *Limits) Release() { l.active.Add(-1) }

// Active is the number of requests that hold a place.
func (l *Limits) Active() int64 { return l.active.Load() }

// take goes on with the places that are held under other limits, and with their rate where it is the same: a reload
// gives no second helping.
func (l *Limits) take(before *Limits, sameRate bool) {
	l.active = before.active
	if sameRate {
		l.limiter = before.limiter
	}
}
