package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// The two files that a problem can be in.
const (
	InLog         = "log"
	InCheckpoints = "checkpoints"
)

// Problem is the first thing found wrong.
type Problem struct {
	In     string `json:"in"`             // InLog or InCheckpoints
	File   string `json:"file,omitempty"` // where the log has several
	Line   int    `json:"line"`           // from 1
	Seq    int    `json:"seq"`            // the record that belongs there (log), or that the checkpoint names
	Offset int64  `json:"offset"`         // of the line's first byte
	Reason string `json:"reason"`
}

// String is one line for a person.
func (p Problem) String() string {
	where := p.In
	if p.File != "" {
		where = p.File
	}
	if p.Line == 0 {
		return fmt.Sprintf("%s (record %d): %s", where, p.Seq, p.Reason)
	}
	return fmt.Sprintf("%s line %d (record %d, byte %d): %s", where, p.Line, p.Seq, p.Offset, p.Reason)
}

// Range is a run of records by seq, both ends included; the zero Range is empty.
type Range struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// File is one of the files of a log.
type File struct {
	Name    string `json:"name"`
	Records Range  `json:"records"`
	Bytes   int64  `json:"bytes"`
}

// VerifyOptions say against what a log is checked.
type VerifyOptions struct {
	Keys        Public
	Checkpoints io.Reader // nil: the chain alone, and all of it counts as unanchored
}

// Report is what [Verify] found. Counts and ranges end where FirstBad begins.
type Report struct {
	OK          bool     `json:"ok"`
	Log         string   `json:"log"` // id of the log
	Records     int      `json:"records"`
	Bytes       int64    `json:"bytes"`
	Anchored    Range    `json:"anchored"`   // up to the newest checkpoint that matches
	Unanchored  Range    `json:"unanchored"` // chained, but whoever holds the chain key could have rewritten or cut it
	Checkpoints int      `json:"checkpoints"`
	Opens       int      `json:"opens"`
	Recovered   int      `json:"recovered"`
	Torn        int      `json:"torn"`              // bytes of an unfinished last line: a crash, or a write in progress
	CutTail     bool     `json:"cut_tail"`          // the log ends before its last checkpoint
	Files       []File   `json:"files,omitempty"`   // that were read, in order, where a log has several
	Removed     *Range   `json:"removed,omitempty"` // what retention says that it removed
	Missing     *Range   `json:"missing,omitempty"` // records that no file has, and that no record says were removed
	FirstBad    *Problem `json:"first_bad,omitempty"`
}

// Verify reads a whole log, in memory that does not grow with it (the checkpoints, about
// 250 bytes per thousand records, are kept). The error is about reading; what is wrong
// with the log stands in the report.
func Verify(ctx context.Context, r io.Reader, o VerifyOptions) (Report, error) {
	if err := o.Keys.check(); err != nil {
		return Report{}, err
	}
	var all []Checkpoint
	if o.Checkpoints != nil {
		var bad *Problem
		var err error
		if all, bad, err = readCheckpoints(o.Checkpoints, o.Keys.Sign); err != nil {
			return Report{}, err
		}
		if bad != nil {
			return Report{FirstBad: bad}, nil
		}
	}
	v := newVerifier(r, o.Keys.Chain)
	v.checkpoints, v.anchors = all, o.Checkpoints != nil
	return v.run(ctx)
}

// verifier walks a log from a position in its chain to the end.
type verifier struct {
	lines       *lines
	chain       *chain
	at          position
	line        int
	base        int64  // of the file that is read, in the log
	file        string // its name, where there are several
	first       int    // the first record that is read
	part        bool   // what is read need not reach the last checkpoint
	removed     []Record
	anchors     bool // hold records against the checkpoints
	live        bool // a torn end is a write in progress
	checkpoints []Checkpoint
	matched     int // how many of them were met
	before      int // how many there were before the newest opened record: Open signs one, then takes records
	report      Report
}

func newVerifier(r io.Reader, key []byte) *verifier {
	v := &verifier{lines: newLines(r), chain: newChain(key)}
	v.at, v.first = v.chain.start(), 1
	return v
}

// from has the walk begin behind what a checkpoint signed.
func (v *verifier) from(c Checkpoint) {
	v.at, _ = c.position()
	v.matched, v.report.Log, v.first = c.Number, c.Log, c.Seq+1
}

// run verifies a whole log.
func (v *verifier) run(ctx context.Context) (Report, error) {
	report, err := v.walk(ctx)
	if err != nil {
		return report, err
	}
	v.conclude()
	return v.report, nil
}

// walk goes on until the end, or until something is wrong.
func (v *verifier) walk(ctx context.Context) (Report, error) {
	for v.report.FirstBad == nil {
		if err := ctx.Err(); err != nil {
			return v.report, fmt.Errorf("verifying audit log: %w", err)
		}
		err := v.step()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return v.report, fmt.Errorf("verifying audit log: %w", err)
		}
	}
	return v.report, nil
}

// step checks one line. What is wrong with it goes into the report.
func (v *verifier) step() error {
	line, err := v.lines.next()
	if errors.Is(err, io.EOF) {
		return err
	}
	v.line++
	if errors.Is(err, errTorn) {
		v.report.Torn = len(line)
		if v.live {
			return io.EOF
		}
	}
	if reason := framing(err); reason != "" {
		v.bad(reason)
		return nil
	}
	if err != nil {
		return err
	}
	before := v.at
	h, ok := parseHead(line)
	if !ok || !framed(line) || h.seq != v.at.seq+1 || !v.chain.check(&v.at, line) {
		v.bad(diagnose(line, v.at.seq+1))
		return nil
	}
	if reason := v.meet(h, line, before); reason != "" {
		v.at = before
		v.bad(reason)
		return nil
	}
	v.report.Records++
	return nil
}

// meet holds a chained record against what it says about its log and against the checkpoints.
func (v *verifier) meet(h head, line []byte, before position) string {
	switch Kind(h.kind) {
	case KindOpened:
		v.report.Opens++
	case KindRecovered:
		v.report.Recovered++
	case KindCheckpoint, KindClosed, KindContinued, KindRemoved:
	case KindAuthorised, KindCompleted, KindRefused, KindAdmin:
		if v.report.Log == "" {
			return "the log does not begin with an opened record"
		}
		if v.anchors && v.matched <= v.before {
			return "no checkpoint covers the opening before this record: checkpoints are missing"
		}
		return v.anchor()
	default:
		return fmt.Sprintf("unknown kind of record %q", h.kind)
	}
	if reason := v.declared(line, before); reason != "" {
		return reason
	}
	return v.anchor()
}

// declared checks what the log's own records say of it: its id, and how many checkpoints
// there were. The second is how a checkpoint that someone removed is missed.
func (v *verifier) declared(line []byte, before position) string {
	rec, err := Parse(line)
	if err != nil {
		return err.Error()
	}
	switch {
	case rec.Event.Kind == KindContinued &&
		(rec.Offset != before.offset || rec.After != macEncoding.EncodeToString(before.mac[:]) ||
			rec.Log != v.report.Log):
		return "the file does not continue what comes before it"
	case rec.Event.Kind == KindRemoved:
		v.removed = append(v.removed, rec)
	}
	if rec.Event.Kind == KindOpened {
		if v.report.Log == "" {
			v.report.Log = rec.Log
		}
		v.before = rec.Checkpoints
		if rec.Log == "" || rec.Log != v.report.Log {
			return fmt.Sprintf("record of log %q in log %q", rec.Log, v.report.Log)
		}
	}
	if v.report.Log == "" {
		return "the log does not begin with an opened record"
	}
	if v.anchors && rec.Checkpoints >= 0 && rec.Checkpoints != v.matched {
		return fmt.Sprintf("the log had %d checkpoints here, but %d are given: checkpoints are missing",
			rec.Checkpoints, v.matched)
	}
	return ""
}

// anchor holds the position just reached against the next checkpoint.
func (v *verifier) anchor() string {
	if v.matched >= len(v.checkpoints) {
		return ""
	}
	next := v.checkpoints[v.matched]
	if v.at.seq < next.Seq {
		return ""
	}
	want, ok := next.position()
	if !ok || want != v.at || next.Log != v.report.Log {
		return fmt.Sprintf("does not match checkpoint %d of %s: the log was rewritten", next.Number,
			next.Time.Format("2006-01-02 15:04:05Z"))
	}
	v.matched++
	v.report.Anchored = Range{From: v.first, To: v.at.seq}
	return ""
}

func (v *verifier) bad(reason string) {
	v.report.FirstBad = &Problem{
		In: InLog, File: v.file, Line: v.line, Seq: v.at.seq + 1,
		Offset: v.at.offset - v.base, Reason: reason,
	}
}

func (v *verifier) conclude() {
	r := &v.report
	r.Bytes = v.at.offset
	r.Checkpoints = v.matched
	if v.at.seq > max(r.Anchored.To, v.first-1) {
		r.Unanchored = Range{From: max(r.Anchored.To+1, v.first), To: v.at.seq}
	}
	if len(v.checkpoints) > v.matched && !v.part && (r.FirstBad == nil || r.Torn > 0) {
		last := v.checkpoints[len(v.checkpoints)-1]
		r.CutTail = true
		if r.Torn == 0 {
			v.line++
		}
		v.bad(fmt.Sprintf("the log ends at record %d, but checkpoint %d saw record %d: its tail was cut off", v.at.seq,
			last.Number, last.Seq))
	}
	if r.FirstBad == nil && v.at.seq == 0 {
		v.line++
		v.bad("the log is empty")
	}
	r.OK = r.FirstBad == nil
}
