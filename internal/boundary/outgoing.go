package boundary

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/boundary/service"
)

// outgoing builds the request that goes to the API: strip, then inject and sign (step 5).
func (s *sending) outgoing(ctx context.Context) (*http.Request, error) {
	r, v, svc := s.r, s.v, s.x.service
	o := credential.Outgoing{
		Method: r.Method, Scheme: svc.Scheme, Host: svc.Host, Base: svc.BasePath, Path: v.Path,
		Header: outgoingHeader(r.Header, svc), RawQuery: withoutSlots(v.RawQuery, svc), Now: s.p.o.Now(),
	}
	if v.Bare {
		o.Path = ""
	}
	token := s.p.watches.of(s.x.presented)
	if f := tokenStays(&o, token); f != nil {
		return nil, f
	}
	s.traceCall(o.Header) // before anything is signed
	acceptCodings(r, &o)
	if isUpgrade(r) {
		o.Header["Connection"], o.Header["Upgrade"] = []string{"Upgrade"}, r.Header["Upgrade"]
		delete(o.Header, "Sec-Websocket-Extensions") // a compressed stream could not be scrubbed frame by frame
	}
	if s.kept != nil {
		o.Body = s.kept
	}
	if f := s.x.material.Inject(ctx, &o); f != nil {
		return nil, f
	}
	if isUpgrade(r) {
		spellWebSocket(o.Header)
	}
	spell(o.Header, r.Header, v.Names, svc)
	out := &http.Request{
		Method: r.Method, Host: svc.Host, Header: o.Header,
		URL:   upstreamURL(svc, &o),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if err := s.attach(ctx, out, &o, token); err != nil {
		return nil, err
	}
	return out.WithContext(ctx), nil
}

// upstreamURL is a URL of which net/http writes the target as it is. An Opaque that begins with // it would write in
// absolute form.
func upstreamURL(svc *service.Service, o *credential.Outgoing) *url.URL {
	target := o.Target()
	u := &url.URL{Scheme: svc.Scheme, Host: svc.Host, Opaque: target, RawQuery: o.RawQuery}
	if strings.HasPrefix(target, "//") {
		u.Opaque, u.RawPath = "", target
		u.Path, _ = url.PathUnescape(target) // service.CheckPath has seen to it that every escape is whole
	}
	return u
}

// attach puts the body on the request. What of it is not known to be without the token is watched as it goes.
func (s *sending) attach(ctx context.Context, out *http.Request, o *credential.Outgoing, token *scrub.Set) (err error) {
	if edited, ok := o.Body.(credential.Bytes); ok {
		if token.Bytes(edited) > 0 {
			return tokenLeaves("the body")
		}
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(edited)), int64(len(edited))
		return nil
	}
	out.Body, out.ContentLength = s.body, s.r.ContentLength
	if s.kept != nil {
		if s.kept.size >= 0 {
			if err = s.whole(ctx, token); err != nil {
				return err
			}
			out.ContentLength = s.kept.size // known by now; some APIs that want a signature take no chunks
		}
		if out.Body, s.ahead = s.ahead, nil; out.Body == nil {
			if out.Body, err = s.kept.Rewind(); err != nil {
				return err
			}
		}
	}
	if s.caller == nil || out.ContentLength == 0 {
		out.Body = http.NoBody
		return nil
	}
	if s.small != nil {
		out.Body = s.small.Start()
	}
	watch := s.kept == nil || s.kept.size < 0
	out.Body = s.guarded(out.Body, token, watch)
	if s.kept == nil && s.small == nil {
		return nil
	}
	out.GetBody = func() (io.ReadCloser, error) {
		body, err := s.rewind()
		if err != nil {
			return nil, err
		}
		return s.guarded(body, token, watch), nil
	}
	return nil
}

// whole looks into a body that has been read to its end already, so that one with the token in it is refused before
// anything is dialled, and not broken off.
func (s *sending) whole(ctx context.Context, token *scrub.Set) error {
	content, _, err := s.kept.Whole(ctx)
	if err != nil {
		return err
	}
	body := watchedBody{ReadCloser: io.NopCloser(content), watch: token.Watch(0)}
	_, err = io.Copy(io.Discard, &body)
	return err
}

// guarded is what net/http reads of the body.
func (s *sending) guarded(body io.ReadCloser, token *scrub.Set, watch bool) io.ReadCloser {
	if watch {
		s.watched = &watchedBody{ReadCloser: body, watch: token.Watch(tokenLend)}
		body = s.watched
	}
	return &guardedBody{body, s.x}
}
