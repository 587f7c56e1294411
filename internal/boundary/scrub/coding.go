package scrub

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// ErrUnknownCoding means that a body is in a content coding that can't be looked
// into, or in several at once.
var ErrUnknownCoding = errors.New("unknown content coding")

// ErrCoding means that a body is not what its Content-Encoding says.
var ErrCoding = errors.New("malformed content coding")

// maxWindow is the window that a zstd content coding may ask for (RFC 9659).
const maxWindow = 8 << 20

// inputSize is how much coded input is buffered, in bytes.
const inputSize = 8 << 10

// Decoder returns the decoded form of r, which is in the content coding that a
// Content-Encoding header names (RFC 9110 section 8.4): gzip, x-gzip, deflate (in
// its zlib wrapping, or bare as some servers send it), br, zstd, identity or "".
// Anything else, and a list of codings, is ErrUnknownCoding.
//
// Nothing is read before the first Read, and each Read returns what can be decoded
// so far without waiting for more. Memory is bounded by the coding's window (32
// KiB for gzip and deflate, up to 16 MiB for br, 8 MiB for zstd) whatever the body
// decodes to. An empty body decodes to an empty one, since answers to HEAD
// carry the header too. A body cut short ends with io.ErrUnexpectedEOF, one that
// is malformed or goes on behind its end with ErrCoding, and an error of r comes
// back as it is. Close frees the decoder; r stays the caller's to close.
func Decoder(contentEncoding string, r io.Reader) (io.ReadCloser, error) {
	name := strings.ToLower(strings.Trim(contentEncoding, " \t"))
	if name == "" || name == "identity" {
		return io.NopCloser(r), nil
	}
	open := opener(name)
	if open == nil {
		return nil, fmt.Errorf("%w %.40q", ErrUnknownCoding, contentEncoding)
	}
	src := &source{r: r}
	return &decoder{name: name, src: src, in: bufio.NewReaderSize(src, inputSize), open: open}, nil
}

func opener(name string) func(*bufio.Reader) (io.Reader, error) {
	switch name {
	case "gzip", "x-gzip":
		return openGzip
	case "deflate":
		return openDeflate
	case "br":
		return openBrotli
	case "zstd":
		return openZstd
	default:
		return nil
	}
}

func openGzip(in *bufio.Reader) (io.Reader, error) { return gzip.NewReader(in) }

// openDeflate tells the zlib wrapping (RFC 1950 section 2.2) from a bare stream by
// its header's check bits.
func openDeflate(in *bufio.Reader) (io.Reader, error) {
	head, err := in.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(head) == 2 && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(in)
	}
	return flate.NewReader(in), nil
}

func openBrotli(in *bufio.Reader) (io.Reader, error) { return brotli.NewReader(in), nil }

func openZstd(in *bufio.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(in,
		zstd.WithDecoderConcurrency(1), // in the caller's goroutine
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow),
		zstd.WithDecoderMaxMemory(1<<62)) // of the whole stream, which is not kept
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// decoder opens the coding at the first Read, since the libraries read the
// header when they are opened.
type decoder struct {
	name string
	src  *source
	in   *bufio.Reader
	open func(*bufio.Reader) (io.Reader, error)
	body io.Reader
	err  error
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.err == nil && d.body == nil {
		d.start()
	}
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.body.Read(p)
	if err != nil {
		d.err = d.explain(err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, d.err
}

func (d *decoder) start() {
	if _, err := d.in.Peek(1); err != nil {
		d.err = err // io.EOF: an empty body
		return
	}
	body, err := d.open(d.in)
	if err != nil {
		d.err = d.explain(err)
		return
	}
	d.body = body
}

// explain tells whose error ended the body: the source's, the coding's, or the end.
func (d *decoder) explain(err error) error {
	if errors.Is(err, io.EOF) && d.body != nil {
		// The coding has ended; so must the source. Its own error, if it has been
		// cut short behind the last byte, counts as well.
		if _, err = d.in.Peek(1); err == nil {
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

func (d *decoder) Close() error {
	if c, ok := d.body.(io.Closer); ok {
		_ = c.Close() // repeats what Read has said
	}
	return nil
}

// source remembers how reading the coded body ended, which the libraries may not
// pass on.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.err = err
	return n, err
}
