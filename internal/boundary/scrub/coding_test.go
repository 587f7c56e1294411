package scrub_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"sallyport/internal/boundary/scrub"
)

// flusher is what all encoders have in common.
type flusher interface {
	io.WriteCloser
	Flush() error
}

type coding struct {
	name, header string
	encoder      func(io.Writer) flusher
}

func codings(t testing.TB) []coding {
	t.Helper()
	must := func(w flusher, err error) flusher {
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	return []coding{
		{"gzip", "gzip", func(w io.Writer) flusher { return gzip.NewWriter(w) }},
		{"x-gzip", " X-GZip", func(w io.Writer) flusher { return gzip.NewWriter(w) }},
		{"deflate", "deflate", func(w io.Writer) flusher { return zlib.NewWriter(w) }},
		{"bare deflate", "deflate", func(w io.Writer) flusher { f, err := flate.NewWriter(w, 6); return must(f, err) }},
		{"br", "br", func(w io.Writer) flusher { return brotli.NewWriter(w) }},
		{"zstd", "zstd", func(w io.Writer) flusher {
			z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
			return must(z, err)
		}},
	}
}

func encode(t testing.TB, c coding, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := c.encoder(&b)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(t testing.TB, header string, r io.Reader) ([]byte, error) {
	t.Helper()
	d, err := scrub.Decoder(header, r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}()
	return io.ReadAll(d)
}

func sample() []byte {
	rng := rand.New(rand.NewPCG(5, 6))
	text := bytes.Repeat([]byte("compressible "), 5000)
	for range 20000 {
		text = append(text, byte(rng.Uint32()))
	}
	return text
}

func TestDecoder(t *testing.T) {
	text := sample()
	for _, c := range codings(t) {
		t.Run(c.name, func(t *testing.T) {
			coded := encode(t, c, text)
			for name, r := range map[string]io.Reader{
				"whole": bytes.NewReader(coded), "bytes": iotest.OneByteReader(bytes.NewReader(coded)),
				"error with data": iotest.DataErrReader(bytes.NewReader(coded)),
			} {
				if got, err := decode(t, c.header, r); err != nil || !bytes.Equal(got, text) {
					t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(text), err)
				}
			}
			if got, err := decode(t, c.header, strings.NewReader("")); err != nil || len(got) != 0 {
				t.Errorf("empty body: %q, %v", got, err)
			}
		})
	}
}

func TestDecoderBadInput(t *testing.T) {
	broken := errors.New("connection reset")
	text := sample()
	for _, c := range codings(t) {
		t.Run(c.name, func(t *testing.T) {
			coded := encode(t, c, text)
			for _, cut := range []int{1, 2, 3, 9, 20, len(coded) / 2, len(coded) - 1} {
				if _, err := decode(t, c.header, bytes.NewReader(coded[:cut])); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("cut to %d of %d: %v, want an unexpected EOF", cut, len(coded), err)
				}
				r := io.MultiReader(bytes.NewReader(coded[:cut]), iotest.ErrReader(broken))
				if _, err := decode(t, c.header, r); err != broken { //nolint:errorlint // as it is
					t.Errorf("reset after %d of %d: %v, want the reader's error", cut, len(coded), err)
				}
			}
			garbage := append([]byte("<html>not compressed at all</html>"), text...)
			if _, err := decode(t, c.header, bytes.NewReader(garbage)); !errors.Is(err, scrub.ErrCoding) {
				t.Errorf("garbage: %v, want ErrCoding", err)
			}
			behind := append(bytes.Clone(coded), garbage...)
			if got, err := decode(t, c.header, bytes.NewReader(behind)); !errors.Is(err, scrub.ErrCoding) ||
				!bytes.Equal(got, text) {
				t.Errorf("data behind the end: %d bytes, %v; want the %d before it and ErrCoding",
					len(got), err, len(text))
			}
		})
	}
}

// TestDecoderFlushes reads each event before the next one is written: a decoder
// that waits for more would never return.
// TestGzipMembers: one after another, and zeros behind the last, as n8n's own decoder takes them.
func TestGzipMembers(t *testing.T) {
	c := codings(t)[0]
	one, two := string(encode(t, c, []byte("one"))), string(encode(t, c, []byte("two")))
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	for name, tt := range map[string]struct {
		coded, want string
		err         error
	}{
		"one":                    {one, "one", nil},
		"two":                    {one + two, "onetwo", nil},
		"a zero":                 {one + zeros(1), "one", nil},
		"less than a header":     {one + zeros(9), "one", nil},
		"a header's size":        {one + zeros(10), "one", nil},
		"a block of tape":        {one + two + zeros(10<<10), "onetwo", nil},
		"zeros, then text":       {one + zeros(8) + "x", "one", scrub.ErrCoding},
		"zeros, then another":    {one + zeros(8) + two, "one", scrub.ErrCoding},
		"text":                   {one + "x", "one", scrub.ErrCoding},
		"half a magic number":    {one + "\x1f", "one", io.ErrUnexpectedEOF},
		"half a header":          {one + two[:5], "one", io.ErrUnexpectedEOF},
		"half a member":          {one + two[:len(two)-9], "one", io.ErrUnexpectedEOF},
		"a checksum that is not": {one + two[:len(two)-8] + zeros(8), "onetwo", scrub.ErrCoding},
		"zeros alone":            {zeros(20), "", scrub.ErrCoding},
	} {
		for how, r := range map[string]io.Reader{
			"":          strings.NewReader(tt.coded),
			", by byte": iotest.OneByteReader(strings.NewReader(tt.coded)),
		} {
			if got, err := decode(t, "gzip", r); !errors.Is(err, tt.err) || !strings.HasPrefix(string(got), tt.want) ||
				err == nil && string(got) != tt.want {
				t.Errorf("%s%s: got %q, %v; want %q, %v", name, how, got, err, tt.want, tt.err)
			}
		}
	}
}

func TestDecoderFlushes(t *testing.T) {
	for _, c := range codings(t) {
		t.Run(c.name, func(t *testing.T) {
			pr, pw := io.Pipe()
			defer pw.Close()
			d, err := scrub.Decoder(c.header, pr)
			if err != nil {
				t.Fatal(err)
			}
			next := make(chan string)
			done := make(chan error, 1)
			go func() {
				w := c.encoder(pw)
				for event := range next {
					if _, err := io.WriteString(w, event); err != nil {
						done <- err
						return
					}
					if err := w.Flush(); err != nil {
						done <- err
						return
					}
				}
				done <- errors.Join(w.Close(), pw.Close())
			}()
			for _, event := range []string{"data: one\n\n", "data: two\n\n", "data: three\n\n"} {
				next <- event
				got := make([]byte, len(event))
				if _, err := io.ReadFull(d, got); err != nil || string(got) != event {
					t.Fatalf("got %q, %v; want %q", got, err, event)
				}
			}
			close(next)
			if rest, err := io.ReadAll(d); err != nil || len(rest) != 0 {
				t.Errorf("at the end: %q, %v", rest, err)
			}
			if err := <-done; err != nil {
				t.Errorf("writing: %v", err)
			}
		})
	}
}

// TestDecoderBomb decodes 1 GiB of zeros (64 MiB with -short), which each coding
// writes in next to nothing.
func TestDecoderBomb(t *testing.T) {
	size := int64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	limits := map[string]uint64{"gzip": 2 << 20, "br": 48 << 20, "zstd": 48 << 20}
	for _, c := range codings(t) {
		limit, ok := limits[c.name]
		if !ok {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			coded, size := bomb(t, c, size)
			before := heap()
			d, err := scrub.Decoder(c.header, coded)
			if err != nil {
				t.Fatal(err)
			}
			buf, total, most := make([]byte, 64<<10), int64(0), uint64(0)
			for total = 0; err == nil; {
				var n int
				n, err = d.Read(buf)
				if total/(size/8) != (total+int64(n))/(size/8) {
					most = max(most, heap())
				}
				total += int64(n)
			}
			if err != io.EOF || total != size { //nolint:errorlint // Read's contract
				t.Fatalf("decoded %d bytes of %d: %v", total, size, err)
			}
			if most > before+limit {
				t.Errorf("decoding held %d bytes, want less than %d", most-before, limit)
			}
			runtime.KeepAlive(d)
		})
	}
}

// bomb writes zeros: as much as size for gzip, which takes its members one after
// the other, an eighth for the others, which are slow to write.
func bomb(t *testing.T, c coding, size int64) (coded io.Reader, decoded int64) {
	t.Helper()
	var one bytes.Buffer
	w := c.encoder(&one)
	if _, err := io.CopyN(w, zeros{}, size/8); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if c.name != "gzip" {
		return &one, size / 8
	}
	return bytes.NewReader(bytes.Repeat(one.Bytes(), 8)), size
}

// TestDecoderWindow asks for a zstd window that RFC 9659 does not allow.
func TestDecoderWindow(t *testing.T) {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, 65<<20); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := decode(t, "zstd", &b); !errors.Is(err, scrub.ErrCoding) {
		t.Errorf("got %v, want ErrCoding", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestDecoderNames(t *testing.T) {
	for _, name := range []string{"", "identity", " Identity "} {
		if got, err := decode(t, name, strings.NewReader("as it is")); err != nil || string(got) != "as it is" {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{
		"compress", "gzip, compress", "gzip,gzip,gzip", "dcb", "gzip;q=1",
		"utf-8, xz", "x-gzip2 gzip",
	} {
		_, err := scrub.Decoder(name, strings.NewReader(""))
		if !errors.Is(err, scrub.ErrUnknownCoding) || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v, want ErrUnknownCoding with the name", name, err)
		}
	}
}

func TestAccept(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", "identity"},
		{"gzip, compress, deflate, br", "gzip, deflate, br"},
		{"GZIP;q=0.5 , br ; q=1.0,zstd;q=0", "gzip;q=0.5, br;q=1.0"},
		{"compress, dcb", "identity"},
		{"*", "gzip"},
		{"*;q=0.1, br", "gzip;q=0.1, br"},
		{"gzip, *;q=0", "gzip"},
		{"gzip;q=0, *", "identity"},
		{"identity;q=0.5, zstd", "identity;q=0.5, zstd"},
		{"gzip;q=nan, br;q=2, zstd;level=3, deflate;q=0.00001", "identity"},
		{"gzip;q=1\r\nx: y, br", "br"},
		{",, ,", "identity"},
	}
	for _, tt := range tests {
		if got := scrub.Accept(tt.in); got != tt.want {
			t.Errorf("Accept(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	for _, c := range codings(f) {
		f.Add(c.header, encode(f, c, []byte("some text, some text, some text")))
	}
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		d, err := scrub.Decoder(name, bytes.NewReader(body))
		if err != nil {
			if !errors.Is(err, scrub.ErrUnknownCoding) {
				t.Fatal(err)
			}
			return
		}
		_, err = io.Copy(io.Discard, io.LimitReader(d, 16<<20))
		if err != nil && !errors.Is(err, scrub.ErrCoding) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v is neither malformed nor truncated", name, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

func FuzzAccept(f *testing.F) {
	f.Add("gzip;q=0.5, br, *;q=0")
	f.Fuzz(func(t *testing.T, header string) {
		got := scrub.Accept(header)
		for item := range strings.SplitSeq(got, ", ") {
			name, _, _ := strings.Cut(item, ";")
			if _, err := scrub.Decoder(name, strings.NewReader("")); err != nil {
				t.Errorf("Accept(%q) = %q asks for what can't be read: %v", header, got, err)
			}
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' && r != ' ' || r > '~' }) {
			t.Errorf("Accept(%q) = %q is no header value", header, got)
		}
	})
}

// TestDecoderReuse decodes after bodies that ended badly or were left half read:
// decoders are used again, and must not remember.
func TestDecoderReuse(t *testing.T) {
	text := sample()
	for _, c := range codings(t) {
		coded := encode(t, c, text)
		for _, spoilt := range [][]byte{coded[:len(coded)/2], append([]byte("garbage"), coded...), coded} {
			d, err := scrub.Decoder(c.header, bytes.NewReader(spoilt))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.CopyN(io.Discard, d, int64(len(text)*3/4))
			_, _ = d.Close(), d.Close()
			if n, err := d.Read(make([]byte, 10)); n != 0 || err == nil {
				t.Errorf("%s: read %d bytes after Close, %v", c.name, n, err)
			}
			if got, err := decode(t, c.header, bytes.NewReader(coded)); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s: %d bytes of %d, %v", c.name, len(got), len(text), err)
			}
		}
	}
}

func BenchmarkDecoder(b *testing.B) {
	text := texts(1 << 10)["json"]
	for _, c := range codings(b) {
		coded := encode(b, c, text)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			buf := make([]byte, 32<<10)
			r := bytes.NewReader(nil)
			for b.Loop() {
				r.Reset(coded)
				d, err := scrub.Decoder(c.header, r)
				for err == nil {
					_, err = d.Read(buf)
				}
				if err != io.EOF { //nolint:errorlint // Read's contract
					b.Fatal(err)
				}
				_ = d.Close()
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		compile(benchSecrets...)
	}
}
