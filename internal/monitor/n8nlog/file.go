package n8nlog

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/pause"
)

// lookEvery is how often a file is looked at for more.
const lookEvery = 500 * time.Millisecond

// file is a log file that is followed by its name: what takes its place is read from the beginning, after the end of
// the old one; one that was made shorter is read again from its beginning.
type file struct {
	path  string
	start bool // read what is there already
}

func (f *file) follow(ctx context.Context, to *sink) error {
	first := !f.start
	for {
		err := f.read(ctx, to, first)
		first = false
		if ctx.Err() != nil {
			return ctx.Err()
		}
		to.away(err)
		if err := pause.For(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// read reads one file to the end of its time: until another one has its name, or it is gone or shorter.
func (f *file) read(ctx context.Context, to *sink, atEnd bool) error {
	info, err := os.Stat(f.path) // first: to open a pipe would wait for one who writes, and could not be ended
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file; give a pipe to standard input, as -", f.path)
	}
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read only
	if atEnd {
		if _, err := in.Seek(0, io.SeekEnd); err != nil {
			return err
		}
	}
	to.here()
	l := &lines{give: to.line}
	for {
		replaced := f.replaced(in) // asked before the end is reached: what was written till then is read
		if _, err := io.Copy(l, in); err != nil {
			return err
		}
		if replaced {
			l.end()
			return nil
		}
		if err := pause.For(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// replaced tells whether the name has another file, or none, or this one was made shorter than what was read of it.
func (f *file) replaced(in *os.File) bool {
	own, err := in.Stat()
	if err != nil {
		return true
	}
	now, err := os.Stat(f.path)
	if err != nil || !os.SameFile(own, now) {
		return true
	}
	at, err := in.Seek(0, io.SeekCurrent)
	return err != nil || own.Size() < at
}

// stream is standard input, or anything else that is read once.
type stream struct{ io.Reader }

// follow ends with ctx, though nothing can end what waits for more.
func (s *stream) follow(ctx context.Context, to *sink) error {
	to.here()
	ended := make(chan error, 1)
	guard.Go("reading a log", func() {
		l := &lines{give: to.line}
		_, err := io.Copy(l, s.Reader)
		l.end()
		ended <- err
	}, func(why *fault.Panic) { ended <- why })
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-ended:
		to.ended()
		return err
	}
}
