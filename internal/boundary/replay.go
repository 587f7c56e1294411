package boundary

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/fault"
)

// again looks at the first answer, and sends the request once more if that says that the credential has expired, or challenges
// it. The answer to that is the caller's, whatever it says. Where the request cannot be sent again, or no newer credential is to
// be had, the first answer is.
func (s *sending) again(ctx context.Context, first *http.Response) (*http.Response, error) {
	x := s.x
	x.expired = s.saysExpired(first)
	challenged := first.StatusCode == http.StatusUnauthorized && x.material.Challenge(first.Header)
	if !x.expired && !challenged {
		x.material.Next(first.Header)
		return first, nil
	}
	if s.kept != nil && !s.kept.Kept() {
		x.notResent = true
		s.announce(ctx)
		return first, nil
	}
	next, why := s.next(ctx)
	if why == "" && x.unguarded {
		if f := unseenBody(s.p.config.Load(), x.grant, s.v); f != nil {
			why = f.Message
		}
	}
	if why == "" {
		why = s.recordAgain(ctx, next)
	}
	if why != "" {
		x.notResent, x.detail = true, why
		return first, nil
	}
	x.material, x.renewed, x.replayed = next, x.expired, true
	x.discard(first)
	second, err := s.once(ctx)
	if err != nil {
		x.expired = false
		return nil, err
	}
	if x.expired = s.saysExpired(second); !x.expired {
		next.Next(second.Header)
	}
	return second, nil
}

// next is what the request is sent with once more, or why there is nothing.
func (s *sending) next(ctx context.Context) (_ *credential.Material, why string) {
	x := s.x
	if !x.expired || !x.material.Renewable() {
		return x.material, "" // the same, which answers the challenge
	}
	m, f := x.service.Credential.Renew(ctx, x.material)
	if f != nil {
		return nil, "the API says that the credential has expired, and there is no newer one: " + f.Error()
	}
	return m, ""
}

// announce says that the credential has expired without waiting for a newer one: the next request shall find it.
func (s *sending) announce(ctx context.Context) {
	if !s.x.expired || !s.x.material.Renewable() {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, _ = s.x.service.Credential.Renew(ctx, s.x.material)
}

// recordAgain puts the second use on record before it happens. It returns why that cannot be.
func (s *sending) recordAgain(ctx context.Context, m *credential.Material) (why string) {
	x := s.x
	before := x.event.Secrets
	x.mask(m.Forms)
	x.event.Secrets, x.event.Detail = m.Versions, "sent once more: the API asked for another answer to its challenge"
	if x.expired {
		x.event.Detail = "sent once more: the API said that the credential had expired"
	}
	if err := s.p.o.Audit.Authorise(ctx, &x.event); err != nil {
		x.event.Secrets = before
		s.p.o.Log.ErrorContext(ctx, "not sending a request once more", "request_id", x.event.ID, "code", fault.AuditUnavailable, "error", err)
		return "the audit log cannot be written, so the request was not sent once more"
	}
	return ""
}

// discard lets go of an answer. That of a challenge is read if it is short, so that its connection is used again: some servers
// challenge every request. Otherwise the second sending has a connection that no server is about to close.
func (x *exchange) discard(resp *http.Response) {
	if !x.expired && 0 < resp.ContentLength && resp.ContentLength <= chunk {
		_, _ = io.CopyN(io.Discard, resp.Body, resp.ContentLength)
	}
	_ = resp.Body.Close()
}

// saysExpired tells whether an answer says that the credential has expired. What it has to read of the body for that is there to
// be read again; a coded body is a decoded one from then on.
func (s *sending) saysExpired(resp *http.Response) bool {
	rule := s.x.service.Expiry
	if rule.ByStatus(resp.StatusCode) {
		return true
	}
	if resp.StatusCode == http.StatusSwitchingProtocols || bodiless(s.r.Method, resp.StatusCode) || !rule.InBody(resp.Header) {
		return false
	}
	body, length, err := decoded(s.r.Method, resp)
	if err != nil {
		return false // it does not pass: respond says why
	}
	p := &peeked{body: body, under: resp.Body}
	expired := rule.Says(io.LimitReader(&noting{p}, rule.Within()))
	if body != resp.Body {
		resp.Uncompressed = true
		delete(resp.Header, "Content-Encoding")
	}
	resp.Body, resp.ContentLength = p, length
	return expired
}

// peeked is a body of which the beginning has been read.
type peeked struct {
	seen  bytes.Buffer
	err   error // that came behind seen
	body  io.ReadCloser
	under io.Closer
}

// Read implements io.Reader.
func (p *peeked) Read(b []byte) (int, error) {
	switch {
	case p.seen.Len() > 0:
		return p.seen.Read(b)
	case p.err != nil:
		return 0, p.err
	}
	return p.body.Read(b)
}

// Close implements io.Closer.
func (p *peeked) Close() error { return errors.Join(p.body.Close(), p.under.Close()) }

// noting reads the beginning of a body, and keeps it.
type noting struct{ p *peeked }

// Read implements io.Reader.
func (n *noting) Read(b []byte) (int, error) {
	if n.p.err != nil {
		return 0, n.p.err
	}
	m, err := n.p.body.Read(b)
	_, _ = n.p.seen.Write(b[:m])
	n.p.err = err
	return m, err
}
