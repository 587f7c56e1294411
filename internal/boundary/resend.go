package boundary

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"

	"sallyport/internal/fault"
)

// net/http's transport sends a request without a body once more by itself when a connection that it had kept turns out to be
// dead, if it is idempotent (RFC 9110 section 9.2.2). The caller is glad of that; but the credential leaves twice, and the API may
// have seen both. So each further connection that a request is given is a use of its own, on record before anything is sent.

// sendContext is the context of one sending. Package egress ends it like that of the exchange.
type sendContext struct {
	context.Context //nolint:containedctx // it is one
	cancel          context.CancelCauseFunc
}

// CancelCause ends the context of the exchange.
func (c *sendContext) CancelCause(cause error) { c.cancel(cause) }

func (s *sending) traced(ctx context.Context) context.Context {
	s.connections, s.unrecorded = 0, nil
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { s.connected(ctx, info) }}
	return &sendContext{httptrace.WithClientTrace(ctx, trace), s.x.cancel}
}

// connected is called before anything of the request is sent on a connection, in the goroutine that sends.
func (s *sending) connected(ctx context.Context, info httptrace.GotConnInfo) {
	s.x.left = true
	if s.connections++; s.connections == 1 {
		return
	}
	if s.unrecorded = s.recordResend(ctx); s.unrecorded == nil {
		return
	}
	// The context keeps HTTP/2 from sending, whose connection others share, and HTTP/1.1 from looking for the next connection.
	// What HTTP/1.1 has in its hands is kept only by closing the connection.
	s.x.cancel(s.unrecorded)
	if c, ok := info.Conn.(*tls.Conn); !ok || c.ConnectionState().NegotiatedProtocol != "h2" {
		_ = info.Conn.Close()
	}
}

func (s *sending) recordResend(ctx context.Context) (f *fault.Fault) {
	defer func() {
		if v := recover(); v != nil {
			f = fault.From(fault.Panicked("recording a second sending", v))
		}
	}()
	s.x.event.Detail = "sent once more: the API had closed the connection that was kept"
	if err := s.p.o.Audit.Authorise(ctx, &s.x.event); err != nil {
		return fault.New(fault.AuditUnavailable, "the audit log cannot be written, so the request was not sent once more").Wrap(err)
	}
	return nil
}
