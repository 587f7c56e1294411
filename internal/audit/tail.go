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

// View is what Tail shows of a log.
type View struct {
	Filter

	Lines  int  // how many of the last ones
	Follow bool // also every one that is written from then on
}

// Tail calls fn with the last lines of a log that v takes, and with v.Follow also with every such line written from
// then on, until ctx ends (which is no error). Lines come without their newline, and only once they are whole; they are
// valid during the call. The files of a log are one log: the last lines may lie in several, and each that is begun is
// followed. A log that was replaced by another is followed from its beginning.
func Tail(ctx context.Context, path string, v View, fn func(line []byte) error) error {
	t := &tail{path: path, which: v.Filter, fn: fn}
	err := t.run(ctx, v.Lines, v.Follow)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fault.WithHint(fmt.Errorf("reading the end of audit log %q: there is none yet", path),
			"it begins with the first command that changes something, or with `sallyport serve`")
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
	seq    int   // of the last record that was read
}

func (t *tail) run(ctx context.Context, n int, follow bool) (err error) {
	if err := t.last(ctx, n); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.f.Close()) }()
	if !follow {
		return nil
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
		if err := t.again(ctx); err != nil {
			return err
		}
	}
}

// last hands on the last n lines, and leaves the file that is being written open.
func (t *tail) last(ctx context.Context, n int) error {
	p, err := openParts(t.path)
	if err != nil {
		return err
	}
	begin, i := make([]int64, len(p.list)), len(p.list)-1
	t.seq = p.list[i].from // at the least
	for ; ; i-- {
		if begin[i], n, err = lastLines(p.list[i].f, n, &t.which); err != nil || n <= 0 || i == 0 {
			break
		}
	}
	for ; err == nil && i < len(p.list); i++ {
		t.f, t.offset = p.list[i].f, begin[i]
		err = t.pass(ctx)
	}
	if err != nil {
		p.close()
		return err
	}
	p.list = p.list[:len(p.list)-1]
	p.close()
	return nil
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
		if h, ok := parseHead(line); ok {
			t.seq = h.seq
		}
	}
}

// again goes on with the file that follows, or starts over with one that was replaced or cut.
func (t *tail) again(ctx context.Context) error {
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
	if err := errors.Join(t.pass(ctx), t.between(ctx, f)); err != nil { // the rest of the file, which is ended now
		return errors.Join(err, f.Close())
	}
	old := t.f
	t.f, t.offset = f, 0
	return old.Close()
}

// between hands on the files that were begun and ended since the last look, up to the one that is f by now.
func (t *tail) between(ctx context.Context, f *os.File) error {
	before, err := endedBeside(t.path)
	if err != nil || t.seq == 0 {
		return err
	}
	own, err := f.Stat()
	if err != nil {
		return err
	}
	for _, e := range before {
		if e.from <= t.seq {
			continue
		}
		one, err := localfile.Open(beside(t.path, e.name))
		if err != nil {
			return err
		}
		if there, err := one.Stat(); err != nil || os.SameFile(there, own) {
			return errors.Join(err, one.Close()) // it was ended since: the next look tells
		}
		kept := t.f
		t.f, t.offset = one, 0
		err = errors.Join(t.pass(ctx), one.Close())
		t.f = kept
		if err != nil {
			return err
		}
	}
	return nil
}

// lastLines finds where the last n whole lines begin that which takes, and how many of them are not in f. It reads from
// the end, in constant memory.
func lastLines(f *os.File, n int, which *Filter) (begin int64, missing int, err error) {
	begin, err = f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, n, err
	}
	buf := make([]byte, 2*maxLine)
	whole := false // begin: of the line that was looked at last; whole: its newline was seen
	for begin > 0 {
		from := max(0, begin-int64(len(buf)))
		chunk := buf[:begin-from]
		if _, err := f.ReadAt(chunk, from); err != nil {
			return 0, n, err
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
				return from + int64(len(chunk)), 0, nil
			case whole && which.Match(line):
				if n--; n == 0 {
					return from + int64(at), 0, nil
				}
			}
			whole, chunk, begin = true, chunk[:at], from+int64(at)
		}
	}
	return 0, n, nil
}

// OpenAll opens all files of the log at path, as they are at this moment, to be read as the one run of bytes that they
// are.
func OpenAll(path string) (io.ReadCloser, error) {
	p, err := openParts(path)
	if err != nil {
		return nil, err
	}
	var all []io.Reader
	for _, one := range p.list {
		all = append(all, io.NewSectionReader(one.f, 0, one.size))
	}
	return &joined{io.MultiReader(all...), p}, nil
}

type joined struct {
	io.Reader

	parts *parts
}

// Close implements io.Closer.
func (j *joined) Close() error {
	j.parts.close()
	return nil
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
