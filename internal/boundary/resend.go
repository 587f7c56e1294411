package boundary

import (
	"context"
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

// connected is called before anything of the request is sent on a connection, in the goroutine that sends. To close the
// connection is the one way to keep it from being sent.
func (s *sending) connected(ctx context.Context, info httptrace.GotConnInfo) {
	if s.connections++; s.connections == 1 {
		return
	}
	s.x.event.Detail = "sent once more: the API had closed the connection that was kept"
	if err := s.p.o.Audit.Authorise(ctx, &s.x.event); err != nil {
		s.unrecorded = fault.New(fault.AuditUnavailable, "the audit log cannot be written, so the request was not sent once more").Wrap(err)
		_ = info.Conn.Close()
	}
}
