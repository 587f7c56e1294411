package boundary

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/internal/boundary/override"
	"sallyport/internal/fault"
)

// countedBody counts what the caller sends, holds it to the service's limit, and ends it when it does not move.
type countedBody struct {
	io.ReadCloser
	x        *exchange
	limit    int64                 // 0: none
	guard    *override.Body        // nil: every method is permitted
	err      atomic.Pointer[error] // the transport may still read when its response is there
	idle     time.Duration         // how long the caller may send nothing
	deadline func(time.Time) error // ends a Read; one that waits, too
	armed    time.Time             // when the deadline was last set
}

// requestBody wraps the caller's body; the second result is nil when there is none. A body that declares more than the
// limit is refused before anything is dialled.
func requestBody(w http.ResponseWriter, r *http.Request, x *exchange) (io.ReadCloser, *countedBody, *fault.Fault) {
	limit := x.service.MaxBody
	switch {
	case r.ContentLength == 0 || r.Body == nil:
		return http.NoBody, nil, nil
	case limit > 0 && r.ContentLength > limit:
		return nil, nil, tooLarge()
	}
	b := &countedBody{ReadCloser: r.Body, x: x, limit: limit, idle: x.service.Config.Timeouts.RequestIdle}
	b.deadline = http.NewResponseController(w).SetReadDeadline
	return b, b, nil
}

func tooLarge() *fault.Fault {
	return fault.New(fault.BodyTooLarge, "the request body is larger than the service allows")
}

// guarded lets guard look at the body before it goes on.
func (b *countedBody) guarded(guard *override.Body) *fault.Fault {
	if guard != nil && guard.Coded() {
		return fault.New(fault.RequestDenied,
			"a form in a content coding cannot be checked for another method, and not every method is permitted on "+
				"this path").
			WithHint("send the form without Content-Encoding")
	}
	b.guard = guard
	return nil
}

// Read implements io.Reader. An error is the caller's: it must not be taken for the API's.
func (b *countedBody) Read(p []byte) (int, error) {
	b.arm()
	n, err := b.ReadCloser.Read(p)
	if total := b.x.bytesIn.Add(int64(n)); b.limit > 0 && total > b.limit {
		return 0, b.fail(tooLarge())
	}
	if b.guard != nil && b.guard.Found(p[:n]) {
		return 0, b.fail(errOverride())
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.x.unseen.Store(false)     // nothing more can come
		_ = b.deadline(time.Time{}) // what comes next on the connection has times of its own
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, b.fail(fault.New(fault.RequestTimeout,
			"nothing came of the request body for "+b.idle.String()).Wrap(err))
	default:
		return n, b.fail(clientError{err})
	}
	return n, err
}

// arm gives the caller idle to send the next bytes. Only the waiting for them counts, not an API that takes its time
// over those before. A timer is not free: one that has just been set is left as it is, with an eighth of idle in
// reserve.
func (b *countedBody) arm() {
	now := time.Now()
	if b.idle <= 0 || now.Sub(b.armed) < b.idle/8 {
		return
	}
	b.armed = now
	_ = b.deadline(now.Add(b.idle + b.idle/8))
}

func (b *countedBody) fail(err error) error {
	b.err.Store(&err)
	return err
}

// failure is why the body could not be sent on, or nil.
func (b *countedBody) failure() error {
	if b == nil || b.err.Load() == nil {
		return nil
	}
	return *b.err.Load()
}

// bodyGuard looks for a field that names another method in the body of a POST, where not every method is permitted, by
// the configuration that decided or by the one that will be. It is nil where there is nothing to look for. Where every
// method is permitted now and that ends while the body is still on its way, the exchange ends: what has passed was not
// looked at.
func (p *Pipeline) bodyGuard(x *exchange, v *View) *override.Body {
	if !strings.EqualFold(v.Method, http.MethodPost) {
		return nil
	}
	for {
		c := p.config.Load()
		if !permits(x.scope, x.service, v, anyMethod) || !c.permitsAny(x.grant, v) {
			x.unseen.Store(false)
			return override.NewBody(v.Header.Values("Content-Type"), v.Header.Values("Content-Encoding"))
		}
		x.unseen.Store(true)
		if p.config.Load() == c { // what changes from now on finds the mark
			return nil
		}
	}
}
