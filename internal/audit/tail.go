package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"sallyport/internal/localfile"
)

// followEvery is how often Tail looks for new lines.
const followEvery = 200 * time.Millisecond

// Tail calls fn with the last n lines of a log, and with follow also with every line
// written from then on, until ctx ends (which is no error). Lines come without their
// newline, and only once they are whole; they are valid during the call. A log that was replaced is
// followed from its beginning.
func Tail(ctx context.Context, path string, n int, follow bool, fn func(line []byte) error) error {
	t := &tail{path: path, fn: fn}
	if err := t.run(ctx, n, follow); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("reading the end of audit log %q: %w", path, err)
	}
	return nil
}

type tail struct {
	path   string
	fn     func([]byte) error
	f      *os.File
	offset int64 // of the first byte not passed on
}

func (t *tail) run(ctx context.Context, n int, follow bool) (err error) {
	if t.f, err = localfile.Open(t.path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.f.Close()) }()
	if t.offset, err = lastLines(t.f, n); err != nil {
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
		end := len(line) - 1
		if err := t.fn(line[:end:end]); err != nil {
			return err
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

// lastLines finds where the last n whole lines begin.
func lastLines(f *os.File, n int) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, maxLine)
	found := -1 // the newline that ends the last line begins none
	for end > 0 {
		begin := max(0, end-int64(len(buf)))
		chunk := buf[:end-begin]
		if _, err := f.ReadAt(chunk, begin); err != nil {
			return 0, err
		}
		for i := bytes.LastIndexByte(chunk, '\n'); i >= 0; i = bytes.LastIndexByte(chunk[:i], '\n') {
			if found++; found == n {
				return begin + int64(i) + 1, nil
			}
		}
		end = begin
	}
	return 0, nil
}

// Export copies the records with a time of since or later, line by line as they stand, and
// returns how many. The lines keep their MACs, but a part of a chain can't be verified
// without what comes before it.
func Export(ctx context.Context, r io.Reader, since time.Time, w io.Writer) (int, error) {
	from := appendTime(nil, since)
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
		h, ok := parseHead(b)
		if !ok || len(h.time) != len(from) {
			return n, fmt.Errorf("exporting audit records: line %d is not a record", line)
		}
		if bytes.Compare(h.time, from) < 0 { // fixed width and UTC: they sort as text
			continue
		}
		if _, err := w.Write(b); err != nil {
			return n, fmt.Errorf("exporting audit records: %w", err)
		}
		n++
	}
}
