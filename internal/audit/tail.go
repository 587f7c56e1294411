package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// followEvery is how often Tail looks for new lines.
const followEvery = 200 * time.Millisecond

// Tail calls fn with the last n lines of a log that which takes, and with follow also with every such line
// written from then on, until ctx ends (which is no error). Lines come without their
// newline, and only once they are whole; they are valid during the call. A log that was replaced is
// followed from its beginning.
func Tail(ctx context.Context, path string, n int, follow bool, which Filter, fn func(line []byte) error) error {
	t := &tail{path: path, which: which, fn: fn}
	err := t.run(ctx, n, follow)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fault.WithHint(fmt.Errorf("reading the end of audit log %q: there is none yet", path), "it begins with the first command that changes something, or with `sallyport serve`")
	case err != nil && !errors.Is(err, context.Canceled):
		return fmt.Errorf("reading the end of audit log %q: %w", path, err)
	}
	return nil
}

type tail struct {
	path   string
	which  Filter
	fn     func([]byte) error
	f      *os.File
	offset int64 // of the first byte not passed on
}

func (t *tail) run(ctx context.Context, n int, follow bool) (err error) {
	if t.f, err = localfile.Open(t.path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.f.Close()) }()
	if t.offset, err = lastLines(t.f, n, &t.which); err != nil {
		return err
	}
	if err := t.pass(ctx); err != nil || !follow {
		return err
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := t.pass(ctx); err != nil {
			return err
		}
		if err := t.again(); err != nil {
			return err
		}
	}
}

// pass hands on every whole line from offset on.
func (t *tail) pass(ctx context.Context) error {
	r := newLines(io.NewSectionReader(t.f, t.offset, 1<<62))
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if end := len(line) - 1; t.which.Match(line) {
			if err := t.fn(line[:end:end]); err != nil {
				return err
			}
		}
		t.offset += int64(len(line))
	}
}

// again starts over with a file that was replaced or cut.
func (t *tail) again() error {
	there, err := os.Stat(t.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it may come back
	}
	if err != nil {
		return err
	}
	own, err := t.f.Stat()
	if err != nil {
		return err
	}
	if own.Size() < t.offset {
		t.offset = 0
	}
	if os.SameFile(there, own) {
		return nil
	}
	f, err := localfile.Open(t.path)
	if err != nil {
		return err
	}
	old := t.f
	t.f, t.offset = f, 0
	return old.Close()
}

// lastLines finds where the last n whole lines begin that which takes. It reads from the end, in constant memory.
func lastLines(f *os.File, n int, which *Filter) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 2*maxLine)
	begin, whole := end, false // begin: of the line that was looked at last; whole: its newline was seen
	for begin > 0 {
		from := max(0, begin-int64(len(buf)))
		chunk := buf[:begin-from]
		if _, err := f.ReadAt(chunk, from); err != nil {
			return 0, err
		}
		// Every line that lies in chunk as a whole, the last one first.
		progress := begin
		for len(chunk) > 0 {
			at := bytes.LastIndexByte(chunk[:len(chunk)-1], '\n') + 1
			if at == 0 && from > 0 && begin < progress {
				break // it may begin before the chunk
			}
			line := chunk[at:]
			whole = whole || line[len(line)-1] == '\n'
			switch {
			case whole && n <= 0:
				return from + int64(len(chunk)), nil
			case whole && which.Match(line):
				if n--; n == 0 {
					return from + int64(at), nil
				}
			}
			whole, chunk, begin = true, chunk[:at], from+int64(at)
		}
	}
	return 0, nil
}

// Export copies the records that which takes, line by line as they stand, and
// returns how many. The lines keep their MACs, but a part of a chain can't be verified
// without what comes before it.
func Export(ctx context.Context, r io.Reader, which Filter, w io.Writer) (int, error) {
	in := newLines(r)
	n := 0
	for line := 1; ; line++ {
		if err := ctx.Err(); err != nil {
			return n, fmt.Errorf("exporting audit records: %w", err)
		}
		b, err := in.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("exporting audit records: line %d: %w", line, err)
		}
		if h, ok := parseHead(b); !ok || len(h.time) != timeWidth {
			return n, fmt.Errorf("exporting audit records: line %d is not a record", line)
		}
		if !which.Match(b) {
			continue
		}
		if _, err := w.Write(b); err != nil {
			return n, fmt.Errorf("exporting audit records: %w", err)
		}
		n++
	}
}
