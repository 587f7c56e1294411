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

// maxStale is how often a request is sent at the most because the server wants another nonce (stale, RFC 7616 section
// 3.3): one that counts the answers to a nonce refuses those that have overtaken each other.
const maxStale = 4

// send sends the request, and returns the response that is for the caller.
func (s *sending) send(ctx context.Context) (*http.Response, error) {
	resp, err := s.once(ctx)
	if err != nil || !s.x.service.Replays {
		return resp, err
	}
	return s.again(ctx, resp)
}

// again looks at the first response, and sends the request once more if that says that the credential has expired, or
// challenges it. The response to that is the caller's, whatever it says, but where it says that only the nonce was
// stale. Where the request cannot be sent again, or there is no newer credential, the first response is.
func (s *sending) again(ctx context.Context, first *http.Response) (*http.Response, error) {
	x, res := s.x, first
	for sent := 1; ; sent++ {
		x.expired = s.saysExpired(res)
		answering, stale := s.challenged(x.material, res)
		asked := answering != nil && (sent == 1 || stale && sent < maxStale)
		if !asked && (sent > 1 || !x.expired) {
			if !x.expired && res.StatusCode != http.StatusUnauthorized {
				x.material.Next(res.Header)
			}
			return res, nil
		}
		next, ok := s.prepare(ctx, res)
		if !ok {
			return res, nil
		}
		x.material, x.renewed, x.replayed = next, x.renewed || x.expired, true
		x.discard(res)
		var err error
		if res, err = s.once(ctx); err != nil {
			x.expired = false
			return nil, err
		}
	}
}

// challenged returns m so that it answers what res asks; nil where that asks nothing.
func (*sending) challenged(m *credential.Material, res *http.Response) (answering *credential.Material, stale bool) {
	if res.StatusCode != http.StatusUnauthorized {
		return nil, false
	}
	return m.Challenge(res.Header)
}

// prepare gets ready what the request is sent with once more, and puts that on record. Where it cannot be sent, it is
// noted why.
func (s *sending) prepare(ctx context.Context, res *http.Response) (next *credential.Material, ok bool) {
	x := s.x
	if s.kept != nil && !s.kept.Kept() {
		x.notResent = true
		s.announce(ctx)
		return nil, false
	}
	next, why := s.next(ctx)
	if why == "" {
		if answering, _ := s.challenged(next, res); answering != nil {
			next = answering
		}
		before := x.event.Secrets
		if why = s.recordAgain(ctx, next); why == "" {
			if why = s.turnBack(); why != "" {
				x.event.Secrets = before
			}
		}
	}
	if why != "" {
		x.notResent, x.detail = true, why
		return nil, false
	}
	return next, true
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
	x.mask(m.Forms())
	x.event.Secrets, x.event.Detail = m.Versions, "sent once more: the API asked for another answer to its challenge"
	if x.expired {
		x.event.Detail = "sent once more: the API said that the credential had expired"
	}
	if err := s.p.o.Audit.Authorise(ctx, &x.event); err != nil {
		x.event.Secrets = before
		s.x.logged(s.p.o.Log).ErrorContext(ctx, "not sending a request once more",
			"code", fault.AuditUnavailable, "error", err)
		return "the audit log cannot be written, so the request was not sent once more"
	}
	return ""
}

// turnBack takes the body from its start as long as the response is there to be given to the caller instead: while the
// credential was renewed, the first sending has gone on, and more may have come than is kept. It returns why not.
func (s *sending) turnBack() (why string) {
	if s.kept == nil {
		return ""
	}
	var err error
	if s.ahead, err = s.kept.Rewind(); err != nil {
		return "the request was not sent once more: " + err.Error()
	}
	return ""
}

// discard lets go of a response. That of a challenge is read if it is short, so that its connection is used again: some
// servers challenge every request. Otherwise the second sending has a connection that no server is about to close.
func (x *exchange) discard(resp *http.Response) {
	if !x.expired && 0 < resp.ContentLength && resp.ContentLength <= chunk {
		_, _ = io.CopyN(io.Discard, resp.Body, resp.ContentLength)
	}
	_ = resp.Body.Close()
}

// saysExpired tells whether a response says that the credential has expired. What it has to read of the body for that
// is there to be read again; a coded body is a decoded one from then on.
func (s *sending) saysExpired(resp *http.Response) bool {
	rule := s.x.service.Expiry
	if rule.ByStatus(resp.StatusCode) {
		return true
	}
	if resp.StatusCode == http.StatusSwitchingProtocols || bodiless(s.r.Method, resp.StatusCode) ||
		!rule.InBody(resp.Header) {
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
