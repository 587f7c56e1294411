package boundary

import (
	"context"
	"net/http"
	"time"

	"sallyport/internal/boundary/egress"
)

// once sends the request with the Material that is in the exchange; on another connection, if the API has seen nothing
// of it on the first.
func (s *sending) once(ctx context.Context) (*http.Response, error) {
	s.connections, s.withheld, s.refused = 0, nil, time.Time{}
	resp, err := s.over(ctx)
	for tries := 1; tries < maxConnections && err != nil && s.withheld == nil && egress.Unprocessed(err) &&
		s.rewindable(); tries++ {
		resp, err = s.over(ctx)
	}
	return resp, err
}

// maxConnections is on how many connections one sending is tried: a pool may hold several that ended together.
const maxConnections = 3

// over is one sending over one connection, or as many as net/http tries.
func (s *sending) over(ctx context.Context) (*http.Response, error) {
	out, err := s.outgoing(s.traced(ctx))
	if err != nil {
		return nil, err
	}
	before := s.p.o.Now()
	resp, err := s.x.service.Transport.RoundTrip(out)
	if s.withheld != nil {
		err = s.withheld
		if resp != nil {
			_ = resp.Body.Close()
		}
		resp = nil
	}
	now := s.p.o.Now()
	s.x.upstream += now.Sub(before)
	s.tracedCall(now, resp, err)
	if err == nil {
		s.x.service.Circuit.Connected()
		if f := tidy(resp); f != nil {
			return nil, f
		}
	}
	return resp, err
}
