package boundary

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"strconv"
	"time"

	"sallyport/internal/fault"
)

// net/http's transport sends a request once more by itself when a connection that it had kept turns out to be dead: one
// that is idempotent (RFC 9110 section 9.2.2) or says so (Idempotency-Key), and on HTTP/2 any that the API has said not
// to have processed (GOAWAY, REFUSED_STREAM: RFC 9113 sections 6.8 and 8.7). What package egress knows the API to have
// seen nothing of is sent once more here, whatever its method. The caller is glad of that; but the credential may leave
// twice. So each further connection that a request is given is a use of its own, on record before anything is sent. Of
// a request with a body all that depends on the body being kept.

// Package net/http knows no end of that with an API that takes connections over HTTP/2 and ends each one without a look
// at the request: a thousand uses a second. So there is one for all of them. Between requests that an API refuses
// (REFUSED_STREAM) net/http waits 1, 2, 4 … s, 63 s in all: what the service waits for a response ends that too.

// maxSendings is on how many connections one sending is tried at the most, whoever tries: net/http begins seven for an
// API that refuses streams because it has too many.
const maxSendings = 8

// sendContext is the context of one sending. Package egress ends it like that of the exchange.
type sendContext struct {
	context.Context //nolint:containedctx // it is one
	cancel          context.CancelCauseFunc
	s               *sending
}

// CancelCause ends the context of the exchange.
func (c *sendContext) CancelCause(cause error) { c.cancel(cause) }

// Connected implements egress.Connected.
func (c *sendContext) Connected(info httptrace.GotConnInfo) { c.s.connected(c.Context, info) }

func (s *sending) traced(ctx context.Context) context.Context {
	return &sendContext{ctx, s.x.cancel, s}
}

// connected is called before anything of the request is sent on a connection, in the goroutine that sends.
func (s *sending) connected(ctx context.Context, info httptrace.GotConnInfo) {
	s.x.left = true
	switch s.connections++; {
	case s.connections == 1:
		return
	case s.connections > maxSendings:
		s.withheld = fault.New(fault.UpstreamReset,
			"it closed "+strconv.Itoa(maxSendings)+" connections in a row without a look at the request").
			WithDetails("connection closed before it answered")
	case onHTTP2(info) && s.refusedTooLong():
		s.withheld = fault.New(fault.UpstreamTimeout, "it refused the request, without a look at it, for longer than "+
			s.patience().String()+" (`timeouts.response_header`)").
			WithDetails("refused without processing")
	default:
		s.withheld = s.recordResend(ctx)
	}
	if s.withheld == nil {
		return
	}
	// The context keeps HTTP/2 from sending, whose connection others share, and HTTP/1.1 from looking for the next
	// connection. What HTTP/1.1 has in its hands is kept only by closing the connection.
	s.x.cancel(s.withheld)
	if !onHTTP2(info) {
		_ = info.Conn.Close()
	}
}

func onHTTP2(info httptrace.GotConnInfo) bool {
	c, ok := info.Conn.(*tls.Conn)
	return ok && c.ConnectionState().NegotiatedProtocol == "h2"
}

// patience is how long the service waits for a response; 0: without end.
func (s *sending) patience() time.Duration { return s.x.service.Config.Timeouts.ResponseHeader }

// refusedTooLong tells whether it is longer ago than that that the API first refused the request. The second connection
// is asked for at once.
func (s *sending) refusedTooLong() bool {
	now := s.p.o.Now()
	if s.refused.IsZero() {
		s.refused = now
	}
	return s.patience() > 0 && now.Sub(s.refused) > s.patience()
}

func (s *sending) recordResend(ctx context.Context) (f *fault.Fault) {
	defer func() {
		if v := recover(); v != nil {
			f = fault.From(fault.Panicked("recording a second sending", v))
		}
	}()
	s.x.event.Detail = "sent once more: the API had closed the connection that was kept"
	if err := s.p.o.Audit.Authorise(ctx, &s.x.event); err != nil {
		return fault.New(fault.AuditUnavailable,
			"the audit log cannot be written, so the request was not sent once more").Wrap(err)
	}
	return nil
}
