package scrub

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// ErrUnknownCoding means that a body is in a content coding that can't be looked
// into, or in too many at once.
var ErrUnknownCoding = errors.New("unknown content coding")

// ErrCoding means that a body is not what its Content-Encoding says.
var ErrCoding = errors.New("malformed content coding")

// maxWindow is the window that a zstd content coding may ask for (RFC 9659).
const maxWindow = 8 << 20

// inputSize is how much coded input is buffered, in bytes.
const inputSize = 8 << 10

// Decoder returns the decoded form of r, which is in the content coding that a
// Content-Encoding header names (RFC 9110 section 8.4): gzip, x-gzip, deflate (in
// its zlib wrapping, or bare as some servers send it), br, zstd, or two of them. What
// names no coding (see Plain) counts for nothing; any other coding is ErrUnknownCoding.
//
// Nothing is read before the first Read, and each Read returns what can be decoded
// so far without waiting for more. Memory is bounded by the coding's window (32
// KiB for gzip and deflate, up to 16 MiB for br, 8 MiB for zstd) whatever the body
// decodes to. An empty body decodes to an empty one, since responses to HEAD
// carry the header too. A body cut short ends with io.ErrUnexpectedEOF, one that
// is malformed or goes on behind its end with ErrCoding (zeros behind gzip are padding), and an error of r comes
// back as it is. Close frees the decoder; r stays the caller's to close.
func Decoder(contentEncoding string, r io.Reader) (io.ReadCloser, error) {
	names, err := codings(contentEncoding)
	if err != nil {
		return nil, err
	}
	body := io.NopCloser(r)
	for i, name := range slices.Backward(names) {
		d := &decoder{name: name, coding: codingOf(name), src: stickyReader{r: body}}
		if i < len(names)-1 {
			d.under = body
		}
		body = d
	}
	return body, nil
}

// engine is what the libraries have in common. Reset may read the header.
type engine interface {
	io.Reader
	Reset(r io.Reader) error
}

// machine is an engine with the input that it reads from. They are costly to make,
// and kept.
type machine struct {
	in     *bufio.Reader
	engine engine
}

// coding makes and keeps the machines of one content coding.
type coding struct{ idle sync.Pool }

func newCoding(open func() engine) *coding {
	return &coding{idle: sync.Pool{New: func() any {
		return &machine{in: bufio.NewReaderSize(nil, inputSize), engine: open()}
	}}}
}

// The codings, with the machines that wait to be used again; they hold no state of
// the bodies they have read.
var (
	codingGzip    = newCoding(func() engine { return new(members) })
	codingDeflate = newCoding(func() engine { return new(deflate) })
	codingBrotli  = newCoding(func() engine { return new(brotli.Reader) })
	codingZstd    = newCoding(newZstd)
)

func codingOf(name string) *coding {
	switch name {
	case "gzip", "x-gzip":
		return codingGzip
	case "deflate":
		return codingDeflate
	case "br":
		return codingBrotli
	case "zstd":
		return codingZstd
	default:
		return nil
	}
}

func newZstd() engine {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), // in the caller's goroutine, so that there is nothing to stop
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow),
		zstd.WithDecoderMaxMemory(1<<62)) // of the whole stream, which is not kept
	if err != nil {
		return brokenEngine{err}
	}
	return d
}

// brokenEngine is a library that refuses its settings.
type brokenEngine struct{ err error }

func (b brokenEngine) Read([]byte) (int, error) { return 0, b.err }
func (b brokenEngine) Reset(io.Reader) error    { return b.err }

// gzipMagic is what each member of a gzip body begins with.
const gzipMagic = "\x1f\x8b"

// members reads the members of a gzip body (RFC 1952 section 2.2) one after another. Zeros behind the last one are
// padding, which some servers send and n8n's own decoder (Node's) skips.
type members struct {
	in     *bufio.Reader
	member gzip.Reader
	ended  bool // the member, and what follows it has not been looked at
}

// Reset implements engine.
func (m *members) Reset(r io.Reader) error {
	in, ok := r.(*bufio.Reader)
	if !ok {
		in = bufio.NewReader(r)
	}
	m.in = in
	return m.begin()
}

func (m *members) begin() error {
	m.ended = false
	err := m.member.Reset(m.in)
	m.member.Multistream(false)
	return err
}

// Read implements io.Reader. io.EOF says that no member follows, whatever does.
func (m *members) Read(p []byte) (int, error) {
	for {
		if m.ended {
			if head, _ := m.in.Peek(len(gzipMagic)); len(head) == 0 || !strings.HasPrefix(gzipMagic, string(head)) {
				return 0, m.padding()
			}
			if err := m.begin(); err != nil {
				return 0, err
			}
		}
		n, err := m.member.Read(p)
		m.ended = errors.Is(err, io.EOF)
		if n > 0 || !m.ended {
			if m.ended {
				err = nil
			}
			return n, err
		}
	}
}

// padding takes the zeros that come next.
func (m *members) padding() error {
	for {
		switch b, err := m.in.ReadByte(); {
		case err != nil:
			return io.EOF // the decoder looks at what the source says
		case b != 0:
			_ = m.in.UnreadByte() // succeeds, right behind ReadByte
			return io.EOF
		}
	}
}

// deflate tells the zlib wrapping (RFC 1950 section 2.2) from a bare stream by its
// header's check bits.
type deflate struct{ body io.Reader }

func (d *deflate) Read(p []byte) (int, error) { return d.body.Read(p) }

func (d *deflate) Reset(r io.Reader) (err error) {
	in, ok := r.(*bufio.Reader)
	if !ok {
		in = bufio.NewReader(r)
	}
	head, err := in.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(head) == 2 && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		d.body, err = zlib.NewReader(in)
		return err
	}
	d.body = flate.NewReader(in)
	return nil
}

// decoder starts at the first Read, since the libraries read the header when they
// are reset.
type decoder struct {
	name    string
	coding  *coding
	src     stickyReader
	machine *machine  // nil before the first Read and after Close
	under   io.Closer // the decoder that it reads from; nil: there is none
	started bool      // the header has been read
	err     error
}

var errClosed = errors.New("decoding: already closed")

func (d *decoder) Read(p []byte) (int, error) {
	if d.err == nil && !d.started {
		d.err = d.start()
	}
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.machine.engine.Read(p)
	if err != nil {
		d.err = d.explain(err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, d.err
}

func (d *decoder) start() error {
	m, ok := d.coding.idle.Get().(*machine)
	if !ok {
		return errors.New("decoding: a foreign thing in the pool")
	}
	d.machine = m
	m.in.Reset(&d.src)
	if _, err := m.in.Peek(1); err != nil {
		return err // io.EOF: an empty body
	}
	if !begins(d.name, m.in) { // the engine would call a short one cut off
		return fmt.Errorf("decoding %s: %w: it does not begin like one", d.name, ErrCoding)
	}
	if err := m.engine.Reset(m.in); err != nil {
		return d.explain(err)
	}
	d.started = true
	return nil
}

// begins tells whether a body that is not empty has the first bytes that every one in its coding has, as far as there
// are so many.
func begins(name string, in *bufio.Reader) bool {
	switch name {
	case "gzip", "x-gzip":
		head, _ := in.Peek(2)
		return strings.HasPrefix(gzipMagic, string(head))
	case "zstd": // a frame, or one to be skipped (RFC 8878 section 3.1)
		head, _ := in.Peek(4)
		return strings.HasPrefix("\x28\xb5\x2f\xfd", string(head)) || head[0]&0xf0 == 0x50 &&
			strings.HasPrefix("\x2a\x4d\x18", string(head[1:]))
	}
	return true
}

// explain tells whose error ended the body: the source's, the coding's, or the end.
func (d *decoder) explain(err error) error {
	if errors.Is(err, io.EOF) && d.started {
		// The coding has ended; so must the source. Its own error, if it has been
		// cut short behind the last byte, counts as well.
		if _, err = d.machine.in.Peek(1); err == nil {
			return fmt.Errorf("decoding %s: %w: data behind its end", d.name, ErrCoding)
		}
		return err
	}
	switch {
	case d.src.err != nil && !errors.Is(d.src.err, io.EOF):
		return d.src.err
	case d.src.err != nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)):
		return io.ErrUnexpectedEOF
	default:
		return fmt.Errorf("decoding %s: %w: %w", d.name, ErrCoding, err)
	}
}

// Close lets the next body have the machine.
func (d *decoder) Close() error {
	if d.machine != nil {
		d.machine.in.Reset(nil) // lets go of the body
		d.coding.idle.Put(d.machine)
	}
	d.machine, d.err = nil, errClosed
	if d.under != nil {
		return d.under.Close()
	}
	return nil
}

// stickyReader remembers how reading the coded body ended, which the libraries may not
// pass on.
type stickyReader struct {
	r   io.Reader
	err error
}

func (s *stickyReader) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.err = err
	return n, err
}
