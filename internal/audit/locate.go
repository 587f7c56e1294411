package audit

import (
	"fmt"
	"os"
	"time"
)

// locate finds where in the log its file begins. The file's first record says it; a file without one is the first of a
// log, or what a rotation had just begun when the process ended.
func (l *Log) locate() error {
	c := l.stats.Checkpoint
	l.begun = l.o.Now()
	before, err := endedBeside(l.o.Path)
	if err != nil {
		return err
	}
	if len(before) > 0 && c.Number == 0 {
		last := before[len(before)-1]
		return l.damaged(Problem{
			In: InCheckpoints, Seq: last.to,
			Reason: fmt.Sprintf("none are there, but %s has records of this log", last.name),
		})
	}
	first, err := l.file.firstLine()
	if err != nil {
		return err
	}
	if first == nil && len(before) > 0 {
		return l.resumeRotation(before[len(before)-1])
	}
	if h, ok := parseHead(first); ok {
		l.begun, _ = time.Parse(time.RFC3339Nano, string(h.time)) // zero: older than anything
	}
	if rec, ok := parseContinued(first); ok {
		l.file.base, l.file.from = rec.Offset, rec.Seq
	}
	return nil
}

// resumeRotation has the empty file go on after the last one that was ended, if the newest checkpoint signed the end of
// that. Otherwise the file was emptied, and its place in the log stays unknown.
func (l *Log) resumeRotation(last ended) error {
	c := l.stats.Checkpoint
	if last.to != c.Seq {
		return nil
	}
	f, err := l.dir.Open(last.name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	if ok, err := l.endsAs(f, info.Size(), c); err != nil || !ok {
		return err
	}
	l.file.base, l.file.from, l.unbegun = c.Offset, c.Seq+1, true
	l.previous = last.name
	return nil
}

// parseContinued reads the first record of a file that follows another.
func parseContinued(line []byte) (Record, bool) {
	h, ok := parseHead(line)
	if !ok || string(h.kind) != string(KindContinued) || !framed(line) {
		return Record{}, false
	}
	rec, err := Parse(line)
	return rec, err == nil && rec.Offset > 0 && rec.Seq > 1
}
