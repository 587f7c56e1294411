package localfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"sallyport/internal/fault"
)

// Bounds of what is read at once.
const (
	// Small is enough for a key, a token, a certificate or a bundle of them.
	Small = 4 << 20
	// Large is enough for an export of n8n or a configuration.
	Large = 1 << 30
)

// pipePatience is how long a pipe may keep its reader waiting, when nothing shorter bounds it.
const pipePatience = 10 * time.Second

// ErrFileTooLarge means that a file has more bytes than its reader takes.
var ErrFileTooLarge = errors.New("it is too large")

// Read reads a file that the operator named, whole, up to so many bytes. A pipe, as of bash's <(…), is read to its end
// within 10 seconds.
func Read(path string, limit int64) ([]byte, error) {
	return read(path, limit, nil, func(*os.File) func() bool { return func() bool { return true } })
}

// ReadContext is Read that ends with ctx, where that is earlier.
func ReadContext(ctx context.Context, path string, limit int64) ([]byte, error) {
	b, err := read(path, limit, ctx.Done(), func(f *os.File) func() bool {
		return context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	})
	if err != nil && ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	return b, err
}

func read(path string, limit int64, done <-chan struct{}, bound func(*os.File) (stop func() bool)) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	pipe := err == nil && info.Mode()&fs.ModeNamedPipe != 0
	if pipe {
		if err = f.SetReadDeadline(time.Now().Add(pipePatience)); err == nil {
			defer bound(f)()
		}
	}
	var b []byte
	if err == nil {
		b, err = readAll(f, limit, done, !pipe)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, bare(err))
	}
	return b, nil
}

// Open opens a file that the operator named, for reading: a regular file or a pipe. It does not wait for a pipe's
// writer.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0) //nolint:gosec // the path is the operator's
	if errors.Is(err, syscall.ENXIO) {
		return nil, fmt.Errorf("opening %q: %w: it is a socket or a device", path, ErrKind)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeNamedPipe == 0 && path != os.DevNull {
		err = fmt.Errorf("opening %q: %w: it is a %s", path, ErrKind, kind(info.Mode()))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readAll reads to the end. A pipe that nobody writes to shows its end at once; who writes may just be late, so that it
// is asked again while nothing has come.
func readAll(f *os.File, limit int64, done <-chan struct{}, regular bool) ([]byte, error) {
	patience := time.NewTimer(pipePatience)
	defer patience.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		b, err := io.ReadAll(io.LimitReader(f, limit+1))
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, errWaited
		case err != nil:
			return nil, err
		case int64(len(b)) > limit:
			return nil, fmt.Errorf("%w: more than %d bytes", ErrFileTooLarge, limit)
		case len(b) > 0 || regular:
			return b, nil
		}
		select {
		case <-done:
			return nil, errWaited
		case <-patience.C:
			return nil, errWaited
		case <-again.C:
		}
	}
}

// errWaited is os.ErrDeadlineExceeded for a person.
var errWaited = fault.WithHint(errors.New("it is a pipe, and what is written to it did not come to an end in time"),
	"name a regular file, or look at what writes to the pipe")
