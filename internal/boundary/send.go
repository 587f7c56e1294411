package boundary

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/spool"
	"sallyport/internal/fault"
)

// sending is a caller's request on its way to the API. It is sent once; twice when the API says that the credential has
// expired, or asks for another answer to its challenge.
type sending struct {
	p *Pipeline
	w http.ResponseWriter
	r *http.Request
	v *View
	x *exchange

	body   io.ReadCloser
	caller *countedBody // below body; nil: there is none
	kept   *keptBody    // between the two; nil: only the beginning is kept, in small
	small  *smallBody   // between the two; nil: there is kept

	watched *watchedBody // what goes to the API; nil: nothing does, or it is known to be without the token

	connections int          // that one sending was given so far
	refused     time.Time    // when it was given the second of them
	withheld    *fault.Fault // why it was not to go out on the last of them
}

// keptBody is a body that can be read again, and that a credential may need all of.
type keptBody struct {
	*spool.Body
	size int64 // once all of it was read; else -1
}

// Whole implements sign.Body.
func (k *keptBody) Whole(ctx context.Context) (io.ReadSeeker, int64, error) {
	content, size, err := k.Body.Whole(ctx)
	if err == nil {
		k.size = size
	}
	return content, size, err
}

// open takes the caller's body, and keeps it where there is a need to.
func (s *sending) open() (f *fault.Fault) {
	s.body, s.caller, f = requestBody(s.w, s.r, s.x)
	svc := s.x.service
	if f == nil && s.caller != nil {
		f = s.caller.guarded(s.p.bodyGuard(s.x, s.v))
	}
	limits := svc.Config.Replay
	switch {
	case f != nil || s.caller == nil:
		return f
	case svc.Replays, s.x.material.NeedsBody():
	case svc.Config.HTTP2: // which may say of any request that it was not processed
		limits.Total = limits.Memory
	case s.r.ContentLength <= maxSmall:
		s.small = &smallBody{caller: s.caller, length: s.r.ContentLength, room: room{budget: s.p.o.Kept}}
		return nil
	default:
		return nil
	}
	s.kept = &keptBody{size: -1, Body: spool.New(s.caller, spool.Options{
		Memory: int64(limits.Memory), Total: int64(limits.Total), Length: s.r.ContentLength, Budget: s.p.o.Kept,
	})}
	return nil
}

func (s *sending) close() {
	if s.kept != nil {
		_ = s.kept.Close()
	}
	if s.small != nil {
		s.small.close()
	}
}

// send sends the request, and returns the answer that is for the caller.
func (s *sending) send(ctx context.Context) (*http.Response, error) {
	resp, err := s.once(ctx)
	if err != nil || !s.x.service.Replays {
		return resp, err
	}
	return s.again(ctx, resp)
}

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

// rewindable tells whether the body, if there is one, can be sent from its start again.
func (s *sending) rewindable() bool {
	switch {
	case s.caller == nil:
		return true
	case s.kept != nil:
		return s.kept.Kept()
	}
	return s.small != nil && s.small.kept()
}

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
	s.x.upstream += s.p.o.Now().Sub(before)
	if err == nil {
		s.x.service.Circuit.Connected()
		if f := tidy(resp); f != nil {
			return nil, f
		}
	}
	return resp, err
}

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
		if out.Body, err = s.kept.Rewind(); err != nil {
			return err
		}
	}
	if s.caller == nil || out.ContentLength == 0 {
		out.Body = http.NoBody
		return nil
	}
	if s.small != nil {
		out.Body = s.small.start()
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

// rewind returns the body from its start, for net/http to send once more.
func (s *sending) rewind() (io.ReadCloser, error) {
	if s.kept != nil {
		return s.kept.Rewind()
	}
	if !s.small.kept() {
		return nil, spool.ErrBodyTooLarge
	}
	return s.small.start(), nil
}

// guarded is what net/http reads of the body.
func (s *sending) guarded(body io.ReadCloser, token *scrub.Set, watch bool) io.ReadCloser {
	if watch {
		s.watched = &watchedBody{ReadCloser: body, watch: token.Watch(tokenLend)}
		body = s.watched
	}
	return &guardedBody{body, s.x}
}
