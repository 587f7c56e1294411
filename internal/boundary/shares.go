package boundary

import (
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// shares is how much of the gate one token, and one service, may take at a time.
type shares struct {
	perToken   int64 // requests at once; 0 is no limit
	perService int64 // requests at once, to a service without a limit of its own; 0 is no limit
	inFlight   byToken
}

// byToken counts the requests of each proxy token, by its name: the generations of one token share. There is an entry
// for each name that was ever verified, which are as many as there are tokens.
type byToken struct{ byName sync.Map } // string → *atomic.Int64

func (s *byToken) of(name string) *atomic.Int64 {
	if n, ok := s.byName.Load(name); ok {
		return n.(*atomic.Int64) //nolint:errcheck,forcetypeassert // nothing else is stored
	}
	n, _ := s.byName.LoadOrStore(name, new(atomic.Int64))
	return n.(*atomic.Int64) //nolint:errcheck,forcetypeassert // nothing else is stored
}

// admission is what a request holds while it is served. release gives it back.
type admission struct {
	share    *atomic.Int64 // of the token's requests in flight; nil: none is held
	acquired bool          // a place under the service's limits is held
	probe    bool          // it tries whether the API can be connected to again
}

// enter takes what a request needs, which release gives back, as long as its API is called at all.
func (s *shares) enter(a *admission, g *token.Grant, svc *service.Service, at time.Time) *fault.Fault {
	if f := s.ofToken(a, g); f != nil {
		return f
	}
	if f := s.ofService(svc); f != nil {
		return f
	}
	f := svc.Limits.Acquire(at)
	if f != nil {
		return f
	}
	a.acquired = true
	a.probe, f = svc.Circuit.Admit(at)
	return f
}

// release gives back what enter took of svc, which is not asked for where it took nothing.
func (a *admission) release(svc *service.Service) {
	if a.share != nil {
		a.share.Add(-1)
	}
	if a.probe {
		defer svc.Circuit.Probed()
	}
	if a.acquired {
		svc.Limits.Release()
	}
}

// ofToken takes a place of the token's share, which release gives back. One workflow that runs wild, or one stolen
// token, leaves room for the others.
func (s *shares) ofToken(a *admission, g *token.Grant) *fault.Fault {
	if s.perToken <= 0 {
		return nil
	}
	n := s.inFlight.of(g.Name)
	if n.Add(1) > s.perToken {
		n.Add(-1)
		return fault.New(fault.RateLimited, "this token has as many requests in flight as one token may have").
			WithHint("wait for Retry-After, or raise `limits.in_flight_per_token`")
	}
	a.share = n
	return nil
}

// ofService tells whether a service without a limit of its own has as many requests in flight as one may have: an API
// that hangs does not take the places of all others. A few more than that may pass when they come at the same instant.
func (s *shares) ofService(svc *service.Service) *fault.Fault {
	if s.perService <= 0 || svc.Config.Limits.Concurrency > 0 || svc.Limits.Active() < s.perService {
		return nil
	}
	return fault.New(fault.RateLimited, "this service has as many requests in flight as one service may have").
		WithHint("wait for Retry-After; `limits.concurrency` of the service sets its own limit, " +
			"`limits.in_flight_per_service` that of all others")
}
