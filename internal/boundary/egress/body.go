package egress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// errStalled is the upstream's silence in the middle of a body.
var errStalled = errors.New("reading answer: nothing came for too long")

// idleBody ends the request when a Read waits longer than idle. It is done by
// cancelling rather than by a deadline on the connection, which many HTTP/2
// requests may share and which outlives the request.
type idleBody struct {
	io.ReadCloser
	idle    time.Duration
	cancel  context.CancelCauseFunc
	release context.CancelCauseFunc // when all is through
	timer   *time.Timer
	stalled atomic.Bool
}

func (b *idleBody) Read(p []byte) (int, error) {
	if b.timer == nil {
		b.timer = time.AfterFunc(b.idle, b.stall)
	} else {
		b.timer.Reset(b.idle)
	}
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil {
		b.release(nil)
		if b.stalled.Load() && !errors.Is(err, io.EOF) {
			err = errStalled
		}
	}
	return n, err
}

func (b *idleBody) stall() {
	b.stalled.Store(true)
	b.cancel(errStalled)
}

func (b *idleBody) Close() error {
	err := b.ReadCloser.Close()
	b.release(nil)
	return err
}

// callerError is a failure to read the caller's own request body.
type callerError struct{ err error }

func (e *callerError) Error() string { return "reading request body: " + e.err.Error() }
func (e *callerError) Unwrap() error { return e.err }

// callerBody marks the errors of the request's body, which would look like the
// upstream's otherwise.
type callerBody struct{ io.ReadCloser }

func (b callerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &callerError{err}
	}
	return n, err
}

// markBody returns a copy of req with the context and the marked body.
func markBody(ctx context.Context, req *http.Request) *http.Request {
	if ctx != req.Context() || req.Body != nil && req.Body != http.NoBody {
		req = req.WithContext(ctx)
	}
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = callerBody{req.Body}
		if again := req.GetBody; again != nil {
			req.GetBody = func() (io.ReadCloser, error) {
				body, err := again()
				if err != nil {
					return nil, err
				}
				return callerBody{body}, nil
			}
		}
	}
	return req
}
