package wire

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/fault"
)

// How much of a body that nobody wants is read, and for how long, so that its connection can be kept.
const (
	settleBytes = 256 << 10
	settleTime  = 100 * time.Millisecond
)

// ErrBodyOver is what a Body returns once its request has been answered, or was given up.
var ErrBodyOver = errors.New("reading a request body: the request is over")

//nolint:gochecknoglobals // a pool is shared by nature
var discarded = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// Body is the body of a request. One goroutine reads it at a time, which may be another one than the handler's: the
// transport to an API reads it, and may do so until after the response.
//
// Invariant: when Finish has returned, nobody reads the request any more, and the connection goes on only if its body
// was read to the end.
type Body struct {
	conn    *Conn
	request uint64 // as Conn.owes knows it
	src     io.ReadCloser
	length  int64       // as declared; -1 when it is not
	waits   bool        // the caller waits for 100 Continue, which the first Read sends
	reading sync.Mutex  // held by whoever reads src
	read    int64       // guarded by reading
	failed  bool        // src is broken; guarded by reading
	atEOF   atomic.Bool // src has ended
	given   atomic.Bool // up: nothing more is to be read
	answer  answer
	broken  atomic.Pointer[fault.Panic]
}

// Take makes r's body a Body, and w an Answer that knows of it. It returns nil for a request that has none, whose w is
// good as it is. The handler calls Finish when it is through, also in a panic, and breaks off (http.ErrAbortHandler) if
// that says so.
func Take(w http.ResponseWriter, r *http.Request, c *Conn) (http.ResponseWriter, *Body) {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return w, nil
	}
	// An API may answer before it has read the whole body, and go on reading. Without this net/http would read the rest
	// of the body, and throw it away, to write the response.
	_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 can
	b := &Body{
		conn: c, request: c.progress.Load() >> 1, src: r.Body, length: r.ContentLength,
		waits: r.Header["Expect"] != nil,
	}
	r.Body = b
	b.answer = answer{ResponseWriter: w, body: b}
	return &b.answer, b
}

// Read implements io.Reader. A panic, also one of net/http's own, is an error of this request: the goroutine that reads
// may be one that recovers nothing.
func (b *Body) Read(p []byte) (n int, err error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.given.Load() {
		return 0, ErrBodyOver
	}
	n, err = b.readSource(p)
	if err != nil && !errors.Is(err, io.EOF) && b.given.Load() {
		err = ErrBodyOver
	}
	return n, err
}

func (b *Body) readSource(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			why := fault.Panicked("reading a request body", v)
			b.broken.Store(why)
			b.failed = true
			n, err = 0, why
		}
	}()
	if b.failed {
		return 0, ErrBodyOver
	}
	n, err = b.src.Read(p)
	b.read += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		b.atEOF.Store(true)
	case err != nil:
		b.failed = true
	}
	return n, err
}

// Close implements io.Closer: nobody wants more of the body. A Read that waits for the caller returns, and the
// connection ends with the response then. Nothing more is read of the caller before the response is through.
func (b *Body) Close() error {
	b.given.Store(true)
	if b.reading.TryLock() {
		b.reading.Unlock()
		return nil
	}
	b.interrupt()
	return nil
}

// interrupt ends the connection if a Read may be waiting for the caller.
func (b *Body) interrupt() {
	if !b.atEOF.Load() && b.conn.owes(b.request) {
		b.conn.end()
	}
}

// BodyViolation says what is wrong with the framing of the body, or "". It may be called while the body is read.
func (b *Body) BodyViolation() string { return b.conn.BodyViolation() }

// Broken is the panic that ended the reading of the body, or nil.
func (b *Body) Broken() *fault.Panic {
	if why := b.broken.Load(); why != nil {
		return why
	}
	return b.conn.Broken()
}

// Settle is called before a response that nobody waits with for the body. It reads what is left of a small one, which
// has mostly arrived, so that the connection can be kept. It leaves a body alone that someone reads, that is large, or
// that the caller holds back until it is asked for (RFC 9110 section 10.1.1).
func (b *Body) Settle() {
	if b.keeps() || !b.reading.TryLock() {
		return
	}
	defer b.reading.Unlock()
	if b.failed || b.waits && b.read == 0 || b.length-b.read > settleBytes {
		return
	}
	if b.conn.SetReadDeadline(time.Now().Add(settleTime)) != nil {
		return
	}
	b.discard()
	_ = b.conn.SetReadDeadline(time.Time{})
}

// discard reads on until the end, an error, or more than is worth it; reading is held.
func (b *Body) discard() {
	bp := discarded.Get().(*[]byte) //nolint:errcheck,forcetypeassert // nothing else is in the pool
	defer discarded.Put(bp)
	for left := settleBytes; left >= 0; {
		n, err := b.readSource(*bp)
		if left -= n; err != nil {
			return
		}
	}
}

// keeps tells whether the connection can be used again: the body is at its end, or what is left of it needs no waiting.
func (b *Body) keeps() bool { return b.atEOF.Load() || !b.conn.owes(b.request) && !b.conn.over.Load() }

// Finish ends the reading of the request, and waits for whoever reads. The body is at its end then, or the connection
// is. It reports false when the caller was not told so: its connection has to be broken off then. It may be called
// again.
func (b *Body) Finish() bool {
	b.given.Store(true)
	b.interrupt()
	b.reading.Lock()
	defer b.reading.Unlock()
	if !b.atEOF.Load() && b.keeps() {
		b.discard() // out of net/http's buffer: it goes on with the next request only behind the end
	}
	if b.atEOF.Load() {
		return true
	}
	b.conn.end()
	return b.answer.announced
}

// answer is a ResponseWriter that announces the end of the connection when the request is not at its end.
type answer struct {
	http.ResponseWriter
	body      *Body
	wrote     bool
	announced bool // the end of the connection
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if !a.wrote && status >= http.StatusOK {
		a.wrote = true
		if !a.body.keeps() {
			a.announced = true
			a.Header()["Connection"] = []string{"close"}
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if !a.wrote {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (a *answer) Flush() {
	if !a.wrote {
		a.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(a.ResponseWriter).Flush() // net/http's own can
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
