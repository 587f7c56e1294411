package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sallyport/internal/localfile"
)

// VerifyFile is [Verify] for a log on disk, which may be in use: it judges the log as it
// stood at one moment, and an unfinished last line counts against it only if nobody is
// writing. An empty checkpointPath means path + ".checkpoints"; a checkpoint file that is
// not there is found to be missing.
//
// The files that were ended, beside the log, are part of it. The oldest may be gone when a record of the log says so;
// that any other is gone is a finding. With the path of a file that was ended, that file alone is verified.
func VerifyFile(ctx context.Context, path, checkpointPath string, keys Public) (Report, error) {
	if err := keys.check(); err != nil {
		return Report{}, err
	}
	if checkpointPath == "" {
		checkpointPath = path + ".checkpoints"
	}
	p, checkpoints, err := openWhole(path, checkpointPath)
	if err != nil {
		return Report{}, fmt.Errorf("verifying audit log: %w", err)
	}
	defer p.close()
	all, bad, err := readCheckpoints(bytes.NewReader(checkpoints), keys.Sign)
	if err != nil || bad != nil {
		return Report{FirstBad: bad}, err
	}
	v := newVerifier(nil, keys.Chain)
	v.checkpoints, v.anchors, v.part = all, true, p.alone
	return v.runParts(ctx, p)
}

// openWhole opens the files of a log, and then reads its checkpoints, with no rotation in between.
func openWhole(path, checkpointPath string) (*parts, []byte, error) {
	for try := 1; ; try++ {
		p, err := openParts(path)
		if err != nil {
			return nil, nil, err
		}
		checkpoints, err := readWhole(checkpointPath, p.live)
		switch {
		case err == nil && (p.alone || p.stillLast(path)):
			return p, checkpoints, nil
		case err == nil && try == maxTries:
			err = errMoved
		}
		p.close()
		if err != nil {
			return nil, nil, err
		}
	}
}

// part is a file of a log, open for reading.
type part struct {
	ended // of the last part, which is being written, from is what its first record says and to is 0

	f    *os.File
	size int64
}

// parts are the files of a log at one moment.
type parts struct {
	list  []part
	live  bool // a writer holds the log
	alone bool // the last one was ended, and is read by itself
}

func (p *parts) close() {
	for _, one := range p.list {
		_ = one.f.Close() // read only
	}
}

// stillLast tells whether no rotation has come since the files were opened.
func (p *parts) stillLast(path string) bool {
	there, err := os.Stat(path)
	last := p.list[len(p.list)-1]
	if last.to > 0 {
		return err != nil
	}
	own, ownErr := last.f.Stat()
	return err == nil && ownErr == nil && os.SameFile(there, own)
}

// maxTries is how often a log is looked at that changes its files meanwhile.
const maxTries = 20

// errMoved means that a rotation or a retention came between looking and opening.
var errMoved = errors.New("its files change all the time")

// openParts opens all files of the log at path; none of them can go away then. With the name of a file that was ended
// it opens that.
func openParts(path string) (*parts, error) {
	if e, ok := aloneEnded(path); ok {
		f, err := localfile.Open(path)
		if err != nil {
			return nil, err
		}
		p := &parts{alone: true, list: []part{{ended: e, f: f}}}
		return p, p.measure()
	}
	for try := 1; ; try++ {
		p, err := tryParts(path)
		if !errors.Is(err, errMoved) || try == maxTries {
			return p, err
		}
		between := time.NewTimer(time.Millisecond) // two renames of a rotation
		<-between.C
	}
}

func tryParts(path string) (_ *parts, err error) {
	p := &parts{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	current, err := localfile.Open(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	missing := err
	if current != nil {
		defer func() {
			if err != nil {
				_ = current.Close()
			}
		}()
	}
	before, err := endedBeside(path)
	if err != nil {
		return nil, err
	}
	if missing != nil && len(before) == 0 {
		return nil, missing
	}
	for _, e := range before {
		f, err := localfile.Open(beside(path, e.name))
		if errors.Is(err, os.ErrNotExist) {
			return nil, errMoved
		}
		if err != nil {
			return nil, err
		}
		p.list = append(p.list, part{ended: e, f: f})
	}
	there, err := os.Stat(path)
	if current == nil {
		if err == nil || guarded(path) {
			return nil, errMoved
		}
		return p, p.measure()
	}
	own, ownErr := current.Stat()
	if err != nil || ownErr != nil || !os.SameFile(there, own) {
		return nil, errMoved
	}
	p.live = inUse(current)
	p.list = append(p.list, part{f: current, ended: ended{name: filepath.Base(path)}})
	return p, p.measure()
}

// guarded tells whether a writer is there, also while the log's name is free between two renames.
func guarded(path string) bool {
	f, err := localfile.Open(path + ".lock")
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	return inUse(f)
}

// measure notes how large the files are, and what the last one begins with.
func (p *parts) measure() error {
	for i := range p.list {
		one := &p.list[i]
		info, err := one.f.Stat()
		if err != nil {
			return err
		}
		one.size = info.Size()
		if one.to > 0 {
			continue
		}
		one.from = 1
		line, err := newLines(io.NewSectionReader(one.f, 0, one.size)).next()
		if rec, ok := parseContinued(line); ok && err == nil {
			one.from = rec.Seq
		} else if i > 0 && one.size == 0 {
			one.from = p.list[i-1].to + 1 // begun by a rotation that did not end
		}
	}
	return nil
}

// runParts verifies the files one after another.
func (v *verifier) runParts(ctx context.Context, p *parts) (Report, error) {
	first := p.list[0]
	if first.from > 1 && !v.startsAt(first.from) {
		v.file = first.name
		v.at.seq = first.from - 1
		v.missing(Range{From: 1, To: first.from - 1})
		return v.report, nil
	}
	for i := range p.list {
		if err := v.readPart(ctx, p, i); err != nil {
			return v.report, err
		}
		if v.report.FirstBad != nil {
			break
		}
	}

	if v.report.FirstBad == nil && first.from > 1 && !p.alone {
		v.excuse(first.from - 1)
	}
	v.conclude()
	return v.report, nil
}

// startsAt has the walk begin with a record that follows one that a checkpoint signed: every file does that but the
// first.
func (v *verifier) startsAt(seq int) bool {
	for _, c := range v.checkpoints {
		if c.Seq == seq-1 {
			v.from(c)
			return true
		}
	}
	return false
}

// readPart verifies one file.
func (v *verifier) readPart(ctx context.Context, p *parts, i int) error {
	one, last := p.list[i], i == len(p.list)-1
	if len(p.list) > 1 || p.alone {
		v.file = one.name
	}
	v.base, v.line = v.at.offset, 0
	switch {
	case one.from > v.at.seq+1:
		v.missing(Range{From: v.at.seq + 1, To: one.from - 1})
		return nil
	case one.from <= v.at.seq:
		v.bad(fmt.Sprintf("another file has record %d as well", one.from))
		return nil
	}
	size := one.size
	if n := len(v.checkpoints); last && one.to == 0 && n > 0 {
		size = max(size, v.checkpoints[n-1].Offset-v.base) // they were read later, and may speak of records behind it
	}
	v.live = p.live && last
	v.lines = newLines(io.NewSectionReader(one.f, 0, size))
	if _, err := v.walk(ctx); err != nil || v.report.FirstBad != nil {
		return err
	}
	if one.to > 0 && v.at.seq != one.to {
		v.line++
		v.bad(fmt.Sprintf("the file ends with record %d, and its name says %d", v.at.seq, one.to))
		return nil
	}
	if len(p.list) > 1 {
		v.report.Files = append(v.report.Files, File{one.name, Range{one.from, v.at.seq}, v.at.offset - v.base})
	}
	return nil
}

func (v *verifier) missing(r Range) {
	v.report.Missing = &r
	v.line = 0
	v.bad(fmt.Sprintf("records %d to %d are missing: no file has them, and no record says that they were removed",
		r.From, r.To))
}

// excuse checks that the log itself says that its records up to this one were removed, and what the last of them was.
func (v *verifier) excuse(to int) {
	for _, rec := range v.removed {
		if rec.Removed.To >= to && v.signed(rec.Removed.To, rec.After) {
			v.report.Removed = &rec.Removed
			return
		}
	}
	v.file = ""
	v.missing(Range{From: 1, To: to})
}

// signed tells whether a checkpoint names this record with this MAC.
func (v *verifier) signed(seq int, mac string) bool {
	for _, c := range v.checkpoints {
		if c.Seq == seq {
			return c.MAC == mac
		}
	}
	return false
}

// inUse tells whether a writer holds the log.
func inUse(f *os.File) bool {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // closing frees it too
	}
	return errors.Is(err, syscall.EWOULDBLOCK)
}

// readWhole reads a checkpoint file; while it is in use, without a line that is being written.
func readWhole(path string, live bool) ([]byte, error) {
	b, err := localfile.Read(path, localfile.Large)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if live {
		b = b[:bytes.LastIndexByte(b, '\n')+1]
	}
	return b, err
}
