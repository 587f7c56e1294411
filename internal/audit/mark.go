package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"sallyport/internal/localfile"
)

// Mark is a place in a log, right behind a record, as who reads it bit by bit keeps it. The zero Mark is before the
// first record. Of checkpoints, whose file is read in the same way, Seq is the number and MAC the signature.
type Mark struct {
	Log    string `json:"log"`    // id of the log
	Seq    int    `json:"seq"`    // of the record
	MAC    string `json:"mac"`    // its own
	Offset int64  `json:"offset"` // where its line begins, in the log
}

// ErrOtherLog is returned by reads after a Mark of another log than the one that is there: a new one was begun.
var ErrOtherLog = errors.New("another log is there")

// ErrNoMark is returned by reads after a Mark whose record the log does not have, or has otherwise: its end was lost in
// a power cut, or it was restored from a backup.
var ErrNoMark = errors.New("the log does not have the record that was read last")

// Bound is how much one read returns.
type Bound struct {
	Upto    int // no record after this one: what the log has not acknowledged may still be taken back
	Records int
	Bytes   int // a record is read whole; a single one may exceed it
}

// Run is records in a row.
type Run struct {
	Lines []Line
	At    Mark  // behind the last of them; where there are none, and no gap, the one that was given
	Gap   Range // records that no file has, before the first of Lines or before what the next read returns
}

// Line is one record, or checkpoint, of a Run.
type Line struct {
	Seq  int
	Time time.Time
	Log  string // id of the log
	Text []byte // as it stands, without the newline; the caller's own
}

// ReadAfter reads the records behind a Mark, over all files of the log at path, in memory that bound bounds. Nothing
// new is an empty Run. After a Gap the next read goes on behind it; records before the first that was ever read, as
// retention had removed them by then, are none.
func ReadAfter(path string, at Mark, bound Bound) (Run, error) {
	run, err := readAfter(path, at, bound)
	if err != nil {
		return Run{At: at}, fmt.Errorf("reading audit log %q: %w", path, err)
	}
	return run, nil
}

func readAfter(path string, at Mark, bound Bound) (Run, error) {
	f, first, err := openAt(path, at.Seq+1)
	if err != nil || f == nil {
		return Run{At: at}, err
	}
	defer f.Close() //nolint:errcheck // read only
	if at.Log != "" && first.Log != at.Log {
		return Run{}, ErrOtherLog
	}
	pos, err := behind(f, first, at)
	if err != nil {
		return Run{}, err
	}
	run, err := readRun(f, pos, first, at, bound)
	return run, err
}

// openAt opens the file that has a record, or the first one that has later ones. nil: no file has any yet.
func openAt(path string, seq int) (*os.File, Record, error) {
	for try := 1; ; try++ {
		f, first, err := tryOpenAt(path, seq)
		if !errors.Is(err, errMoved) || try == maxTries {
			return f, first, err
		}
		between := time.NewTimer(time.Millisecond) // two renames of a rotation
		<-between.C
	}
}

func tryOpenAt(path string, seq int) (_ *os.File, first Record, err error) {
	// The current file first: what a rotation ends after that is found among those that are ended.
	current, first, err := openFirst(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, first, err
	}
	if current != nil && first.Seq > 0 && first.Seq <= seq {
		return current, first, nil
	}
	before, failed := endedBeside(path)
	for _, e := range before {
		if failed == nil && e.to >= seq {
			if current != nil {
				_ = current.Close()
			}
			f, first, err := openFirst(beside(path, e.name))
			if errors.Is(err, fs.ErrNotExist) {
				return nil, first, errMoved // retention, or someone
			}
			return f, first, err
		}
	}
	switch {
	case failed != nil:
		err = failed
	case current == nil && guarded(path):
		err = errMoved
	case current == nil, first.Seq > 0:
		return current, first, nil
	}
	if current != nil {
		_ = current.Close()
	}
	return nil, first, err
}

// openFirst opens a file of the log and reads its first record. The zero Record: it has none yet.
func openFirst(path string) (*os.File, Record, error) {
	f, err := localfile.Open(path)
	if err != nil {
		return nil, Record{}, err
	}
	line, err := newLines(f).next()
	if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
		return f, Record{}, nil
	}
	var first Record
	if err == nil {
		first, err = Parse(line)
	}
	if err == nil && (first.Log == "" || first.Seq < 1) {
		err = errors.New("its first record does not say which log it is of")
	}
	if err != nil {
		return nil, Record{}, errors.Join(fmt.Errorf("%q: %w", path, err), f.Close())
	}
	return f, first, nil
}

// behind is where in the file reading goes on. It holds the mark against what is there.
func behind(f *os.File, first Record, at Mark) (int64, error) {
	switch {
	case at.Seq == 0, first.Seq > at.Seq+1:
		return 0, nil
	case first.Seq == at.Seq+1:
		if first.After != "" && first.After != at.MAC {
			return 0, ErrNoMark
		}
		return 0, nil
	}
	pos := at.Offset - first.Offset
	if pos < 0 {
		return 0, ErrNoMark
	}
	line, err := newLines(io.NewSectionReader(f, pos, maxLine+1)).next()
	if err != nil {
		return 0, ErrNoMark
	}
	if h, ok := parseHead(line); !ok || h.seq != at.Seq || macOf(line) != at.MAC {
		return 0, ErrNoMark
	}
	return pos + int64(len(line)), nil
}

// macOf is what a line says of its MAC; "" where it does not end as every record does.
func macOf(line []byte) string {
	if !framed(line) {
		return ""
	}
	return string(line[len(line)-len(lineEnd)-macText : len(line)-len(lineEnd)])
}

// readRun reads from a position in a file on.
func readRun(f *os.File, pos int64, first Record, at Mark, bound Bound) (Run, error) {
	run := Run{At: at}
	in := newLines(io.NewSectionReader(f, pos, 1<<62))
	size := 0
	for len(run.Lines) < max(1, bound.Records) && size < max(1, bound.Bytes) {
		begin := pos + in.offset
		line, err := in.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			break
		}
		h, ok := parseHead(line)
		when, timed := time.Parse(time.RFC3339Nano, string(h.time))
		if err != nil || !ok || timed != nil || macOf(line) == "" || h.seq <= run.At.Seq {
			if len(run.Lines) > 0 {
				break // with what is before it first
			}
			return Run{}, fmt.Errorf("after record %d comes what is no record of this log", run.At.Seq)
		}
		if h.seq > bound.Upto {
			break
		}
		if h.seq > run.At.Seq+1 && run.At.Seq > 0 {
			if len(run.Lines) > 0 {
				break
			}
			run.Gap = Range{From: run.At.Seq + 1, To: h.seq - 1}
		}
		text := bytes.Clone(line[:len(line)-1])
		run.Lines = append(run.Lines, Line{Seq: h.seq, Time: when, Log: first.Log, Text: text})
		run.At = Mark{Log: first.Log, Seq: h.seq, MAC: macOf(line), Offset: first.Offset + begin}
		size += len(text)
	}
	return run, nil
}

// Newest is the Mark behind the last whole record of the log at path; the zero Mark where there is none.
func Newest(path string) (Mark, error) {
	f, first, err := openAt(path, 1<<62)
	if err != nil || f == nil {
		return Mark{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	pos, missing, err := lastLines(f, 1, &Filter{})
	if err != nil || missing > 0 {
		return Mark{}, err
	}
	line, err := newLines(io.NewSectionReader(f, pos, maxLine+1)).next()
	if err != nil {
		return Mark{}, err
	}
	h, ok := parseHead(line)
	if !ok {
		return Mark{}, fmt.Errorf("reading the end of audit log %q: it does not end with a record", path)
	}
	return Mark{Log: first.Log, Seq: h.seq, MAC: macOf(line), Offset: first.Offset + pos}, nil
}

// ReadCheckpointsAfter is ReadAfter for the file of checkpoints at path, which is one file.
func ReadCheckpointsAfter(ctx context.Context, path string, at Mark, bound Bound) (Run, error) {
	run, err := readCheckpointsAfter(ctx, path, at, bound)
	if err != nil {
		return Run{At: at}, fmt.Errorf("reading audit checkpoints %q: %w", path, err)
	}
	return run, nil
}

func readCheckpointsAfter(ctx context.Context, path string, at Mark, bound Bound) (Run, error) {
	run := Run{At: at}
	f, err := localfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return run, nil
	}
	if err != nil {
		return run, err
	}
	defer f.Close() //nolint:errcheck // read only
	if at.Seq == 0 {
		at.Offset = 0
	}
	in, size := newLines(io.NewSectionReader(f, at.Offset, 1<<62)), 0
	for n := 0; len(run.Lines) < max(1, bound.Records) && size < max(1, bound.Bytes) && ctx.Err() == nil; n++ {
		begin := at.Offset + in.offset
		line, err := in.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			if n == 0 && at.Seq > 0 {
				return run, ErrNoMark
			}
			break
		}
		var c Checkpoint
		if err == nil {
			err = json.Unmarshal(line, &c)
		}
		if n == 0 && at.Seq > 0 { // the one that was read last
			if err != nil || c.Log != at.Log || c.Number != at.Seq || c.Signature != at.MAC {
				return run, otherLog(f, at)
			}
			continue
		}
		if err != nil || c.Number != run.At.Seq+1 {
			if len(run.Lines) > 0 {
				break
			}
			return run, fmt.Errorf("after checkpoint %d comes what is none of this log", run.At.Seq)
		}
		if c.Number > bound.Upto {
			break
		}
		text := bytes.Clone(line[:len(line)-1])
		run.Lines = append(run.Lines, Line{Seq: c.Number, Time: c.Time, Log: c.Log, Text: text})
		run.At = Mark{Log: c.Log, Seq: c.Number, MAC: c.Signature, Offset: begin}
		size += len(text)
	}
	return run, ctx.Err()
}

// otherLog tells whether a file of checkpoints that does not go on from a mark is that of another log.
func otherLog(f *os.File, at Mark) error {
	line, err := newLines(io.NewSectionReader(f, 0, 1<<62)).next()
	var c Checkpoint
	if err != nil || json.Unmarshal(line, &c) != nil || c.Log == at.Log {
		return ErrNoMark
	}
	return ErrOtherLog
}
