package boundary

import (
	"context"
	"net/http"
	"time"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/service"
	"sallyport/internal/fault"
)

// trace begins or continues the trace of a request whose token is valid. Strangers make none.
func (p *Pipeline) trace(x *exchange) {
	if p.o.Tracer == nil {
		return
	}
	defer p.survive(x, "beginning a trace")
	h := x.view.Header
	if h == nil {
		return
	}
	if t := p.o.Tracer.Begin(x.started, h.Values("Traceparent"), h.Values("Tracestate")); t != nil {
		x.event.Trace, _ = t.ID()
		x.trace = t
	}
}

// credential is the service's, and how long it was waited for stands in the trace.
func (p *Pipeline) credential(
	ctx context.Context, x *exchange, svc *service.Service,
) (*credential.Material, *fault.Fault) {
	if x.trace == nil {
		return svc.Credential.Current(ctx)
	}
	from := p.o.Now()
	m, f := svc.Credential.Current(ctx)
	x.trace.Waited(from, p.o.Now())
	return m, f
}

// traceCall begins the span of a call to the API.
func (s *sending) traceCall(to http.Header) {
	if s.x.trace != nil {
		svc := s.x.service
		s.x.trace.Call(s.p.o.Now(), svc.Scheme+"://"+svc.Host+svc.BasePath, to)
	}
}

// tracedCall ends it.
func (s *sending) tracedCall(at time.Time, resp *http.Response, err error) {
	switch {
	case s.x.trace == nil:
	case err != nil:
		s.x.trace.Called(at, 0, egress.Classify(err).Code)
	default:
		s.x.trace.Called(at, resp.StatusCode, "")
	}
}

// endTrace ends the trace of a request of which everything is known.
func (p *Pipeline) endTrace(x *exchange, o *Outcome) {
	if x.trace == nil {
		return
	}
	defer p.survive(x, "ending a trace")
	if id, sampled := x.trace.ID(); sampled {
		o.Trace = id
	}
	x.trace.End(&x.event)
}
