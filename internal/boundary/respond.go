package boundary

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/fault"
)

// respond is step 7: the API's response goes to the caller, scrubbed as it streams.
func (p *Pipeline) respond(w http.ResponseWriter, r *http.Request, resp *http.Response, x *exchange) error {
	h := w.Header()
	x.scrubbed += returnHeader(h, resp.Header, x.service, x.material.Forms())
	body, length, err := decoded(r.Method, resp)
	if err != nil {
		return fault.New(fault.UpstreamMalformed,
			"its response is in a content coding that cannot be checked for secrets").Wrap(err)
	}
	if length != resp.ContentLength || resp.Uncompressed {
		delete(h, "Content-Length")
	}
	if body != resp.Body {
		defer func() { _ = body.Close() }()
		delete(h, "Content-Encoding")
	}
	if _, named := h["Content-Type"]; !named {
		h["Content-Type"] = nil // net/http would guess one
	}
	h["Proxy-Status"] = []string{receivedStatus(resp.StatusCode)}
	h[headerRequestID] = []string{x.event.ID}
	s := &sender{
		p: p, w: w, x: x, status: resp.StatusCode, body: body, forms: x.material.Forms(),
		coded: body != resp.Body || resp.Uncompressed,
	}
	if bodiless(r.Method, resp.StatusCode) {
		return s.head()
	}
	bp, ok := chunks.Get().(*[]byte)
	if !ok {
		return fault.New(fault.Internal, "the buffer pool is broken")
	}
	defer chunks.Put(bp)
	if 0 <= length && length <= chunk {
		return s.whole((*bp)[:length])
	}
	events := strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
	s.flush = length < 0 || events
	small := s.coded && 0 <= resp.ContentLength && resp.ContentLength <= chunk
	if small || s.coded && !events {
		whole, err := s.ahead(small)
		if whole || err != nil {
			return err
		}
	}
	if err := s.stream(*bp); err != nil {
		return err
	}
	s.trailers(resp.Trailer)
	return nil
}

// codeOf is the outcome of a response that came through.
func codeOf(status int) fault.Code {
	switch {
	case status == http.StatusUnauthorized:
		return fault.CredentialRejected
	case status >= 500:
		return fault.Upstream5xx
	case status >= 400:
		return fault.Upstream4xx
	}
	return ""
}

// bareCode is codeOf for a response to a request without the credential, of which 401 says nothing.
func bareCode(status int) fault.Code {
	if status == http.StatusUnauthorized {
		return fault.Upstream4xx
	}
	return codeOf(status)
}

// sender writes one response.
type sender struct {
	p      *Pipeline
	w      http.ResponseWriter
	x      *exchange
	status int
	body   io.Reader
	forms  *scrub.Set
	flush  bool
	coded  bool // body is decoded from what the API sent
}

// ahead reads the beginning of a coded body before the status is sent: should the body not be what its Content-Encoding
// says, as an error page may not be, the caller gets an error that says so instead of a broken connection. whole tells
// that this was all of it, and that it was sent. all waits for more than what there is first.
func (s *sender) ahead(all bool) (whole bool, err error) {
	bp, ok := chunks.Get().(*[]byte)
	if !ok {
		return false, fault.New(fault.Internal, "the buffer pool is broken")
	}
	buf, n := *bp, 0
	before := s.p.o.Now()
	for err == nil && n < len(buf) && (all || n == 0) {
		var m int
		m, err = s.body.Read(buf[n:])
		n += m
	}
	s.x.upstream += s.p.o.Now().Sub(before)
	switch {
	case err == nil:
		s.body = &begun{buf: bp, left: buf[:n], rest: s.body}
		return false, nil
	case !errors.Is(err, io.EOF):
		chunks.Put(bp)
		return false, s.bodyFault(err)
	}
	defer chunks.Put(bp)
	s.x.scrubbed += s.forms.Bytes(buf[:n])
	s.w.Header()["Content-Length"] = []string{strconv.Itoa(n)}
	return true, s.small(buf[:n])
}

// begun is a body of which the beginning has been read.
type begun struct {
	buf  *[]byte // of the pool; nil once it is through
	left []byte
	rest io.Reader
}

// Read implements io.Reader.
func (b *begun) Read(p []byte) (n int, err error) {
	if b.buf == nil {
		return b.rest.Read(p)
	}
	n = copy(p, b.left)
	if b.left = b.left[n:]; len(b.left) == 0 {
		chunks.Put(b.buf)
		b.buf = nil
	}
	return n, nil
}

// head sends status and header. From here on the response cannot become another one.
func (s *sender) head() error {
	if err := s.x.leave(); err != nil {
		return err
	}
	s.x.status, s.x.code = s.status, codeOf(s.status)
	switch {
	case s.x.bare:
		s.x.code = bareCode(s.status)
	case s.x.expired: // whatever its status
		s.x.code = fault.CredentialRejected
		s.x.service.Answered(http.StatusUnauthorized)
	default:
		s.x.service.Answered(s.status)
	}
	s.w.WriteHeader(s.status)
	return nil
}

// small sends a response whose whole body is there.
func (s *sender) small(body []byte) error {
	if err := s.head(); err != nil {
		return err
	}
	return s.write(body)
}

// whole sends a small body of known length in one piece: should the API fail in the middle of it, the caller gets an
// error that says so instead of a broken connection.
func (s *sender) whole(buf []byte) error {
	before := s.p.o.Now()
	_, err := io.ReadFull(s.body, buf)
	s.x.upstream += s.p.o.Now().Sub(before)
	if err != nil {
		return s.bodyFault(err)
	}
	s.x.scrubbed += s.forms.Bytes(buf)
	return s.small(buf)
}

// stream copies a body of any length. The caller has the head before the body is waited for: an API may take its time
// with it.
func (s *sender) stream(buf []byte) error {
	if err := s.head(); err != nil {
		return err
	}
	s.flushNow()
	if err := s.x.stream(); err != nil {
		return err
	}
	st := s.forms.Stream()
	defer func() { s.x.scrubbed += st.Count() }()
	for {
		held := st.Held()
		if held > len(buf)/2 {
			buf = make([]byte, 4*held)
		}
		before := s.p.o.Now()
		n, err := s.body.Read(buf[held:])
		s.x.upstream += s.p.o.Now().Sub(before)
		if n > 0 {
			if werr := s.write(st.InPlace(buf[:held+n])); werr != nil {
				return werr
			}
		}
		if errors.Is(err, io.EOF) {
			return s.write(st.Flush(nil))
		}
		if err != nil {
			return s.bodyFault(err)
		}
	}
}

func (s *sender) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	before := s.p.o.Now()
	n, err := s.w.Write(b)
	if err == nil && s.flush {
		s.flushNow()
	}
	s.x.client += s.p.o.Now().Sub(before)
	s.x.bytesOut += int64(n)
	if err != nil {
		return clientError{err}
	}
	return nil
}

func (s *sender) flushNow() {
	if f, ok := s.w.(http.Flusher); ok {
		f.Flush()
	}
}

// trailers sends the API's trailers, scrubbed like a header.
func (s *sender) trailers(trailer http.Header) {
	if len(trailer) == 0 {
		return
	}
	clean := make(http.Header, len(trailer))
	s.x.scrubbed += returnHeader(clean, trailer, s.x.service, s.forms)
	for name, values := range clean {
		s.w.Header()[http.TrailerPrefix+name] = values
	}
}

// bodyFault tells a response that ended short from one that could not be decoded.
func (s *sender) bodyFault(err error) error {
	if errors.Is(err, scrub.ErrCoding) {
		return fault.New(fault.UpstreamMalformed, "the body of its response, which has status "+strconv.Itoa(s.status)+
			", is not in the content coding that it names").Wrap(err)
	}
	return egress.ClassifyBody(err)
}
