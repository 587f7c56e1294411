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
	"time"

	"sallyport/internal/guard"
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
	for _, path := range []string{o.Path, o.CheckpointPath} {
		if err := os.Rename(path, path+aside); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("setting the damaged log aside: %w", err)
		}
	}
	return open(ctx, o, "damage accepted, the old log is now "+o.Path+aside+": "+damage.Problem.String())
}

// open does Open's work; each note becomes a recovered record.
func open(ctx context.Context, o Options, notes ...string) (_ *Log, err error) {
	log, err := openFile(o.Path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, log.close())
		}
	}()
	if err := log.lock(ctx); err != nil {
		return nil, err
	}
	anchors, err := openFile(o.CheckpointPath)
	if err != nil {
		return nil, fmt.Errorf("opening its checkpoints: %w", err)
	}
	l := &Log{
		strangers: quota{allowance: ofStrangers}, holders: quota{allowance: ofHolders},
		o: o, file: log, anchors: anchors, chain: newChain(o.Keys.Chain),
		pending: &batch{}, spare: &batch{},
		turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), due: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	if err := l.begin(ctx, notes); err != nil {
		return nil, errors.Join(err, anchors.close())
	}
	l.done.Go("flushing", func() { guard.Until(l.quit, "flushing the audit log", l.flush, l.o.Broke) })
	l.done.Go("keeping", func() { guard.Until(l.quit, "keeping the audit log", l.keep, l.o.Broke) })
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
	l.mu.Lock()
	l.declare(KindOpened, &Event{}, len(notes) == 0)
	for i, note := range notes {
		l.declare(KindRecovered, &Event{Detail: note}, i == len(notes)-1)
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
	v := newVerifier(io.NewSectionReader(l.file.f, 0, l.file.size), l.o.Keys.Chain)
	v.anchors = true
	if c := l.stats.Checkpoint; c.Number > 0 {
		if err := l.standsAt(c); err != nil {
			return "", err
		}
		v.lines = newLines(io.NewSectionReader(l.file.f, c.Offset, l.file.size-c.Offset))
		v.at, _ = c.position()
		v.matched, v.report.Log, v.line = c.Number, c.Log, c.Seq
	}
	report, err := v.walk(ctx)
	if err != nil {
		return "", err
	}
	l.at, l.id = v.at, report.Log
	l.stats.Seq, l.stats.Bytes = l.at.seq, l.at.offset
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
		return l.damaged(Problem{In: InCheckpoints, Seq: c.Seq, Offset: l.anchors.size - int64(len(line)), Reason: "newest checkpoint: " + err.Error()})
	}
	l.stats.Checkpoint = c
	return nil
}

// standsAt checks that the log holds, at its place, the record that the checkpoint names.
func (l *Log) standsAt(c Checkpoint) error {
	bad := Problem{In: InLog, Line: c.Seq, Seq: c.Seq, Offset: min(c.Offset, l.file.size)}
	if l.file.size < c.Offset {
		bad.Reason = fmt.Sprintf("the log has %d bytes, but checkpoint %d of %s saw %d: its tail was cut off",
			l.file.size, c.Number, c.Time.Format(time.DateTime+"Z"), c.Offset)
		return l.damaged(bad)
	}
	end := make([]byte, min(c.Offset, 2*maxLine))
	if _, err := l.file.f.ReadAt(end, c.Offset-int64(len(end))); err != nil {
		return err
	}
	if got, ok := l.lastRecord(end, c.Seq); !ok || macEncoding.EncodeToString(got.mac[:]) != c.MAC {
		bad.Reason = fmt.Sprintf("the record that checkpoint %d signed was changed, or the chain key is not this log's", c.Number)
		return l.damaged(bad)
	}
	return nil
}

// lastRecord checks the record that ends here, taking its predecessor's MAC as stated.
func (l *Log) lastRecord(end []byte, seq int) (position, bool) {
	begin := lastLine(end)
	line, prior := end[begin:], end[lastLine(end[:begin]):begin]
	at := l.chain.start()
	at.seq = seq - 1
	if seq > 1 {
		if !framed(prior) {
			return at, false
		}
		text := prior[len(prior)-trailer+len(macKey) : len(prior)-len(lineEnd)]
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
	rest, err := l.file.tail(min(l.file.size-l.at.offset, 2*maxPending))
	if err != nil {
		return "", err
	}
	line := bytes.IndexByte(rest, '\n') < 0 && len(rest) <= maxLine
	if l.at.offset+int64(len(rest)) != l.file.size || !line && len(bytes.Trim(rest, "\x00")) > 0 {
		return "", l.damaged(bad)
	}
	sum := sha256.Sum256(rest)
	l.file.uncertain(l.at.offset) // the next append begins with cutting
	return fmt.Sprintf("cut off an unfinished write of %d bytes, SHA-256 %s", len(rest), hex.EncodeToString(sum[:])), nil
}

func (l *Log) damaged(p Problem) error {
	return &DamageError{Path: l.o.Path, Problem: p}
}
