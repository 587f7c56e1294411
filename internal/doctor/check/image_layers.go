package check

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"sallyport/internal/doctor"
)

// The bounds of looking into an image.
const (
	maxUnpacked   = 64 << 30 // bytes of all layers
	maxConfig     = 8 << 20  // bytes of an image's configuration
	maxLooked     = 1 << 20  // bytes of a file that is looked into
	maxImageFinds = 300
)

var (
	errUnpacked = errors.New("its layers are larger than 64 GiB")
	errZstd     = errors.New("a layer is compressed with zstd, and was not looked into")
)

// layers looks into an image as `docker save` and the OCI layout have it.
type layers struct {
	ctx     context.Context //nolint:containedctx // of one call, for the reader below
	at      string
	seen    []doctor.Seen
	configs int
	read    int // layers
	files   int
	bytes   int64
}

// image goes through the archive. It knows what an entry is by what is in it: names differ from version to version.
func (x *layers) image(r io.Reader) error {
	archive := tar.NewReader(&counting{x: x, r: r})
	for {
		head, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the image: %w", x.why(err))
		case head.Typeflag != tar.TypeReg:
			continue
		}
		if err := x.entry(archive, head.Size); err != nil {
			return err
		}
	}
}

// entry is a layer, a configuration, or something else.
func (x *layers) entry(r io.Reader, size int64) error {
	in := bufio.NewReaderSize(r, 4096)
	begin, _ := in.Peek(512)
	switch {
	case len(begin) > 0 && begin[0] == '{' && size <= maxConfig:
		text, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("reading the image: %w", x.why(err))
		}
		if c, is := readImageConfig(text); is {
			x.configs++
			x.seen = append(x.seen, c.seen(x.at)...)
		}
	case bytes.HasPrefix(begin, []byte{0x1f, 0x8b}):
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("reading a layer: %w", x.why(err))
		}
		return x.layer(&counting{x: x, r: unzipped})
	case bytes.HasPrefix(begin, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return errZstd
	case len(begin) == 512 && string(begin[257:262]) == "ustar":
		return x.layer(in)
	}
	return nil
}

// layer looks at the files of one layer.
func (x *layers) layer(r io.Reader) error {
	x.read++
	archive := tar.NewReader(r)
	for {
		head, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading layer %d: %w", x.read, x.why(err))
		case head.Typeflag != tar.TypeReg:
			continue
		}
		x.files++
		name := path.Clean("/" + head.Name)
		if head.Size == 0 || head.Size > maxLooked || ordinary(name) {
			continue
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			return fmt.Errorf("reading layer %d: %w", x.read, x.why(err))
		}
		if what := secretFile(name, text); what != "" && len(x.seen) < maxImageFinds {
			x.seen = append(x.seen, doctor.Bad(x.at, fmt.Sprintf("layer %d: %s %s; a later layer that removes it "+
				"leaves it in "+
				"this one", x.read, name, what), leaked))
		}
	}
}

// why is an error of reading, or what ended it from outside.
func (x *layers) why(err error) error {
	if x.ctx.Err() != nil {
		return x.ctx.Err()
	}
	return err
}

// counting ends what is too large, or takes too long.
type counting struct {
	x *layers
	r io.Reader
}

// Read implements io.Reader.
func (c *counting) Read(p []byte) (int, error) {
	if c.x.ctx.Err() != nil {
		return 0, c.x.ctx.Err()
	}
	if c.x.bytes > maxUnpacked {
		return 0, errUnpacked
	}
	n, err := c.r.Read(p)
	c.x.bytes += int64(n)
	return n, err
}

// ordinary tells folders in which others keep what looks like secrets and is none: examples, tests, public keys.
func ordinary(name string) bool {
	for _, part := range []string{
		"/node_modules/", "/usr/share/", "/usr/lib/", "/lib/", "/etc/ssl/certs/",
		"/usr/local/lib/",
	} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
