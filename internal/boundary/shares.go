package boundary

import (
	"sync"
	"sync/atomic"

	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// shares counts the requests of each proxy token, by its name: the generations of one token share. There is an entry
// for each name that was ever verified, which are as many as there are tokens.
type shares struct{ byName sync.Map } // string → *atomic.Int64

func (s *shares) of(name string) *atomic.Int64 {
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

// enter takes what a request needs, which finish gives back, as long as its API is called at all.
func (p *Pipeline) enter(x *exchange, svc *service.Service) *fault.Fault {
	if f := p.shareOfToken(x, x.grant); f != nil {
		return f
	}
	if f := p.shareOf(svc); f != nil {
		return f
	}
	f := svc.Limits.Acquire(x.started)
	if f != nil {
		return f
	}
	x.acquired = true
	x.probe, f = svc.Circuit.Admit(x.started)
	return f
}

// shareOfToken takes a place of the token's share, which finish gives back. One workflow that runs wild, or one stolen
// token, leaves room for the others.
func (p *Pipeline) shareOfToken(x *exchange, g *token.Grant) *fault.Fault {
	if p.o.PerToken <= 0 {
		return nil
	}
	n := p.byToken.of(g.Name)
	if n.Add(1) > p.o.PerToken {
		n.Add(-1)
		return fault.New(fault.RateLimited, "this token has as many requests in flight as one token may have").
			WithHint("wait for Retry-After, or raise `limits.in_flight_per_token`")
	}
	x.share = n
	return nil
}

// shareOf tells whether a service without a limit of its own has as many requests in flight as one may have: an API
// that hangs does not take the places of all others. A few more than that may pass when they come at the same instant.
func (p *Pipeline) shareOf(svc *service.Service) *fault.Fault {
	if p.o.PerService <= 0 || svc.Config.Limits.Concurrency > 0 || svc.Limits.Active() < p.o.PerService {
		return nil
	}
	return fault.New(fault.RateLimited, "this service has as many requests in flight as one service may have").
		WithHint("wait for Retry-After; `limits.concurrency` of the service sets its own limit, " +
			"`limits.in_flight_per_service` that of all others")
}
