package boundary

import (
	"context"
	"io"
	"net/http"
	"time"

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
	caller *countedBody  // below body; nil: there is none
	kept   *keptBody     // between the two; nil: only the beginning is kept, in small
	ahead  io.ReadCloser // of kept, from its start, for the next sending; nil: that one asks for it
	small  *spool.Small  // between the two; nil: there is kept

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
	case s.r.ContentLength <= spool.MaxSmall:
		s.small = spool.NewSmall(s.caller, s.r.ContentLength, s.p.o.Kept)
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
		s.small.Close()
	}
}

// rewindable tells whether the body, if there is one, can be sent from its start again.
func (s *sending) rewindable() bool {
	switch {
	case s.caller == nil:
		return true
	case s.kept != nil:
		return s.kept.Kept()
	}
	return s.small != nil && s.small.Kept()
}

// rewind returns the body from its start, for net/http to send once more.
func (s *sending) rewind() (io.ReadCloser, error) {
	if s.kept != nil {
		return s.kept.Rewind()
	}
	if !s.small.Kept() {
		return nil, spool.ErrBodyTooLarge
	}
	return s.small.Start(), nil
}
