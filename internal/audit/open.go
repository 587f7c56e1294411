package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sallyport/internal/guard"
	"sallyport/internal/localfile"
)

// Open makes a log or continues one, and holds it until Close.
//
// An existing log is checked from its newest checkpoint to its end; what lies before is
// [Verify]'s business. A torn last line was never acknowledged: it is cut off, and a
// "recovered" record keeps its length and SHA-256. A log that does not reach its newest
// checkpoint, or does not hang together behind it, is a *[DamageError]. A log that another
// process holds is [ErrLocked].
//
// ctx ends the opening, not the log.
func Open(ctx context.Context, o Options) (*Log, error) {
	o = o.withDefaults()
	if err := o.Keys.check(); err != nil {
		return nil, err
	}
	l, err := open(ctx, o)
	var damage *DamageError
	if errors.As(err, &damage) && o.AcceptDamage {
		l, err = reopen(ctx, o, damage)
	}
	if err == nil || errors.As(err, &damage) {
		return l, err
	}
	return nil, fmt.Errorf("opening audit log %q: %w", o.Path, err)
}

// reopen sets a damaged log aside and begins a new one. A crash on the way leaves one of
// the files behind, which is damage again, and handled the same way.
func reopen(ctx context.Context, o Options, damage *DamageError) (_ *Log, err error) {
	old, err := openFile(o.Path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, old.close()) }()
	if err := old.lock(ctx); err != nil {
		return nil, err
	}
	aside := ".damaged-" + o.Now().UTC().Format("20060102T150405.000000Z")
	before, err := endedBeside(o.Path)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range before {
		paths = append(paths, beside(o.Path, e.name))
	}
	for _, path := range append(paths, o.Path, o.CheckpointPath) {
		if err := os.Rename(path, path+aside); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("setting the damaged log aside: %w", err)
		}
	}
	return open(ctx, o, "damage accepted, the old log is now "+o.Path+aside+": "+damage.Problem.String())
}

// open does Open's work; each note becomes a recovered record.
func open(ctx context.Context, o Options, notes ...string) (_ *Log, err error) {
	var opened []io.Closer
	defer func() {
		if err != nil {
			for _, f := range slices.Backward(opened) {
				err = errors.Join(err, f.Close())
			}
		}
	}()
	dir, err := localfile.OpenDir(filepath.Dir(o.Path))
	if err != nil {
		return nil, err
	}
	opened = append(opened, dir)
	lock, err := openFile(o.Path + ".lock")
	if err != nil {
		return nil, err
	}
	opened = append(opened, lock.f)
	if err := lock.lock(ctx); err != nil {
		return nil, err
	}
	log, err := openFile(o.Path)
	if err != nil {
		return nil, err
	}
	opened = append(opened, log.f)
	if err := log.lock(ctx); err != nil {
		return nil, err
	}
	anchors, err := openFile(o.CheckpointPath)
	if err != nil {
		return nil, fmt.Errorf("opening its checkpoints: %w", err)
	}
	opened = append(opened, anchors.f)
	l := &Log{
		dir: dir, guard: lock, held: make(chan struct{}, 1), asks: make(chan ask), full: make(chan struct{}, 1),
		strangers: quota{allowance: ofStrangers}, holders: quota{allowance: ofHolders},
		o: o, file: log, anchors: anchors, chain: newChain(o.Keys.Chain),
		pending: &batch{}, spare: &batch{},
		turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), due: make(chan struct{}, 1),
		quit: make(chan struct{}),
	}
	if err := l.begin(ctx, notes); err != nil {
		return nil, err
	}
	l.done.Go("flushing", func() { guard.Until(l.quit, "flushing the audit log", l.flush, l.o.Broke) })
	l.done.Go("keeping", func() { guard.Until(l.quit, "keeping the audit log", l.keep, l.o.Broke) })
	if o.KeepAge > 0 || o.KeepSize > 0 {
		l.done.Go("retaining", func() { guard.Until(l.quit, "removing old audit files", l.retain, l.o.Broke) })
	}
	return l, nil
}

// begin brings the log to where records can follow, and says so in it.
func (l *Log) begin(ctx context.Context, notes []string) error {
	torn, err := l.resume(ctx)
	if err != nil {
		return err
	}
	if torn != "" {
		notes = append(notes, torn)
	}
	if err := errors.Join(syncDir(l.o.Path), syncDir(l.o.CheckpointPath)); err != nil {
		return err
	}
	if err := l.dir.Remove(nextName(l.o.Path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing what a rotation left: %w", err)
	}
	l.mu.Lock()
	b := l.pending
	if l.unbegun {
		l.declare(b, KindContinued, &Event{}, false, l.continuation()...)
	}
	l.declare(b, KindOpened, &Event{}, len(notes) == 0)
	for i, note := range notes {
		l.declare(b, KindRecovered, &Event{Detail: note}, i == len(notes)-1)
	}
	if err := l.commit(nil); err != nil {
		return err
	}
	return l.sign()
}

// resume finds the end of the chain. It returns what it cut off, for the record.
func (l *Log) resume(ctx context.Context) (string, error) {
	if err := l.lastCheckpoint(); err != nil {
		return "", err
	}
	if err := l.locate(); err != nil {
		return "", err
	}
	v := newVerifier(io.NewSectionReader(l.file.f, 0, l.file.size), l.o.Keys.Chain)
	v.anchors, v.base = true, l.file.base
	if c := l.stats.Checkpoint; c.Number > 0 {
		if err := l.standsAt(c); err != nil {
			return "", err
		}
		behind := c.Offset - l.file.base
		v.lines = newLines(io.NewSectionReader(l.file.f, behind, l.file.size-behind))
		v.from(c)
		v.line = c.Seq - l.file.from + 1
	}
	report, err := v.walk(ctx)
	if err != nil {
		return "", err
	}
	l.at, l.id = v.at, report.Log
	l.stats.Seq, l.stats.Bytes = l.at.seq, l.at.offset-l.file.base
	if l.id == "" {
		id := make([]byte, 16)
		_, _ = rand.Read(id) // never fails, by its documentation
		l.id = hex.EncodeToString(id)
	}
	if bad := report.FirstBad; bad != nil {
		return l.cutTorn(*bad)
	}
	return "", nil
}

// lastCheckpoint reads the newest checkpoint and cuts off a torn line behind it.
func (l *Log) lastCheckpoint() error {
	const room = 4 << 10 // several checkpoints
	end, err := l.anchors.tail(room)
	if err != nil {
		return fmt.Errorf("reading its checkpoints: %w", err)
	}
	whole := bytes.LastIndexByte(end, '\n') + 1
	if whole < len(end) {
		l.anchors.uncertain(l.anchors.size - int64(len(end)-whole))
	}
	if whole == 0 {
		return nil
	}
	line := end[lastLine(end[:whole]):whole]
	c, err := parseCheckpoint(line, l.o.Keys.Public().Sign)
	if err != nil {
		return l.damaged(Problem{
			In: InCheckpoints, Seq: c.Seq, Offset: l.anchors.size - int64(len(line)),
			Reason: "newest checkpoint: " + err.Error(),
		})
	}
	l.stats.Checkpoint = c
	return nil
}

// standsAt checks that the log holds, at its place, the record that the checkpoint names.
func (l *Log) standsAt(c Checkpoint) error {
	here := c.Offset - l.file.base
	bad := Problem{In: InLog, Line: c.Seq - l.file.from + 1, Seq: c.Seq, Offset: min(here, l.file.size)}
	switch {
	case here < 0:
		bad = Problem{
			In: InCheckpoints, Seq: c.Seq,
			Reason: fmt.Sprintf("checkpoint %d is the newest, but the log was in an earlier file then: checkpoints "+
				"are missing", c.Number),
		}
		return l.damaged(bad)
	case l.file.size < here:
		bad.Reason = fmt.Sprintf("the log has %d bytes, but checkpoint %d of %s saw %d: its tail was cut off",
			l.file.base+l.file.size, c.Number, c.Time.Format(time.DateTime+"Z"), c.Offset)
		return l.damaged(bad)
	case here == 0:
		return nil // it signed the end of the file before; what follows is chained to that
	}
	ok, err := l.endsAs(l.file.f, here, c)
	if err != nil {
		return err
	}
	if !ok {
		bad.Reason = fmt.Sprintf("the record that checkpoint %d signed was changed, or the chain key is not this log's",
			c.Number)
		return l.damaged(bad)
	}
	return nil
}

// endsAs tells whether the record before this place in f is the one that the checkpoint signed.
func (l *Log) endsAs(f io.ReaderAt, place int64, c Checkpoint) (bool, error) {
	end := make([]byte, min(place, 2*maxLine))
	if _, err := f.ReadAt(end, place-int64(len(end))); err != nil {
		return false, err
	}
	got, ok := l.lastRecord(end, c.Seq)
	return ok && macEncoding.EncodeToString(got.mac[:]) == c.MAC, nil
}

// lastRecord checks the record that ends here, taking its predecessor's MAC as stated.
func (l *Log) lastRecord(end []byte, seq int) (position, bool) {
	begin := lastLine(end)
	line, prior := end[begin:], end[lastLine(end[:begin]):begin]
	at := l.chain.start()
	at.seq = seq - 1
	if seq > 1 {
		var text []byte
		switch {
		case begin == 0:
			rec, err := Parse(line) // the first of its file names its predecessor
			if err != nil {
				return at, false
			}
			text = []byte(rec.After)
		case !framed(prior):
			return at, false
		default:
			text = prior[len(prior)-trailer+len(macKey) : len(prior)-len(lineEnd)]
		}
		if len(text) != macText {
			return at, false
		}
		if n, err := macEncoding.Decode(at.mac[:], text); err != nil || n != macSize {
			return at, false
		}
	}
	return at, framed(line) && l.chain.check(&at, line)
}

// lastLine is where the last line of b begins; its newline is b's last byte.
func lastLine(b []byte) int {
	return bytes.LastIndexByte(b[:max(0, len(b)-1)], '\n') + 1
}

// cutTorn removes what a crash left of a write: one line without an end, or the zeros of a
// file that grew without its data. Anything else is damage.
func (l *Log) cutTorn(bad Problem) (string, error) {
	here := l.at.offset - l.file.base
	rest, err := l.file.tail(min(l.file.size-here, 2*maxPending))
	if err != nil {
		return "", err
	}
	line := bytes.IndexByte(rest, '\n') < 0 && len(rest) <= maxLine
	if here+int64(len(rest)) != l.file.size || !line && len(bytes.Trim(rest, "\x00")) > 0 {
		return "", l.damaged(bad)
	}
	sum := sha256.Sum256(rest)
	l.file.uncertain(here) // the next append begins with cutting
	return fmt.Sprintf("cut off an unfinished write of %d bytes, SHA-256 %s", len(rest),
		hex.EncodeToString(sum[:])), nil
}

func (l *Log) damaged(p Problem) error {
	return &DamageError{Path: l.o.Path, Problem: p}
}
