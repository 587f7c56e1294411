package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"sallyport/internal/localfile"
)

// retainEvery is how often old files are looked for when no rotation gives the occasion: they grow old by themselves.
const retainEvery = time.Hour

// The steps of a retention. Behind recorded the files are gone for the log, and whoever looks next unlinks what is left
// of them.
const (
	stepRecorded = "recorded"
	stepUnlinked = "unlinked"
)

// retain removes old files, at the beginning and then after each rotation.
func (l *Log) retain() {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // ends with the log
	defer cancel()
	l.done.Go("ending", func() {
		select {
		case <-l.quit:
			cancel()
		case <-ctx.Done():
		}
	})
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		gone, err := l.removeOld(ctx)
		if err != nil {
			err = fmt.Errorf("removing old files of audit log %q: %w", l.o.Path, err)
		}
		l.mu.Lock()
		l.retained = err
		l.mu.Unlock()
		if err != nil && ctx.Err() == nil || gone.To > 0 {
			l.o.OnRemove(gone, err)
		}
		select {
		case <-l.quit:
			return
		case <-l.full:
		case <-tick.C:
		}
	}
}

// removeOld removes files that were ended, the oldest first, and returns which records are gone. It verifies them
// first, so that nothing that someone has changed is cleared away, and puts on record what it removes before it does.
func (l *Log) removeOld(ctx context.Context) (Range, error) {
	names, err := l.dir.Names()
	if err != nil {
		return Range{}, err
	}
	files := endedAmong(l.o.Path, names)
	if len(files) == 0 {
		return Range{}, nil
	}
	if err := l.findRemoved(ctx, files); err != nil {
		return Range{}, err
	}
	var gone Range
	for len(files) > 0 && files[0].to <= l.removed { // on record already
		if err := l.unlink(&gone, files[0]); err != nil {
			return gone, err
		}
		files = files[1:]
	}
	old, err := l.old(files)
	for batch := range slices.Chunk(old, maxRemoved) {
		if err = l.removeBatch(ctx, batch, &gone); err != nil {
			break
		}
	}
	return gone, errors.Join(err, l.dir.Sync())
}

// maxRemoved is how many files are removed at a time: each of them is open then, beside the connections of the gate.
const maxRemoved = 32

func (l *Log) removeBatch(ctx context.Context, old []ended, gone *Range) error {
	if err := l.recordRemoval(ctx, old); err != nil {
		return err
	}
	l.o.step(stepRecorded)
	for _, e := range old {
		if err := l.unlink(gone, e); err != nil {
			return err
		}
		l.o.step(stepUnlinked)
	}
	return nil
}

func (l *Log) unlink(gone *Range, e ended) error {
	if err := l.dir.Remove(e.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if gone.From == 0 {
		gone.From = e.from
	}
	gone.To = e.to
	return nil
}

// old are the first of these files that are older, or more, than what is kept.
func (l *Log) old(files []ended) ([]ended, error) {
	var total int64
	sizes := make([]int64, len(files))
	for i, e := range files {
		info, err := l.dir.Lstat(e.name)
		if err != nil {
			return nil, err
		}
		sizes[i] = info.Size()
		total += sizes[i]
	}
	total += l.Stats().Bytes
	before := l.o.Now().Add(-l.o.KeepAge)
	for i, e := range files {
		aged := false
		if l.o.KeepAge > 0 {
			newest, err := l.newest(e)
			if err != nil {
				return nil, err
			}
			aged = newest.Before(before)
		}
		if !aged && (l.o.KeepSize <= 0 || total <= l.o.KeepSize) {
			return files[:i], nil
		}
		total -= sizes[i]
	}
	return files, nil
}

// newest is the time of a file's last record. The file's own time would tell when it was copied.
func (l *Log) newest(e ended) (time.Time, error) {
	f, err := l.dir.Open(e.name, os.O_RDONLY, 0)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	end := make([]byte, min(info.Size(), maxLine))
	if _, err := f.ReadAt(end, info.Size()-int64(len(end))); err != nil && !errors.Is(err, io.EOF) {
		return time.Time{}, err
	}
	h, ok := parseHead(end[lastLine(end):])
	at, err := time.Parse(time.RFC3339Nano, string(h.time))
	if !ok || err != nil {
		return time.Time{}, fmt.Errorf("%s does not end with a record", e.name)
	}
	return at, nil
}

// recordRemoval verifies the files and puts on record, signed, that they are removed.
func (l *Log) recordRemoval(ctx context.Context, old []ended) error {
	after, err := l.verifyOld(ctx, old)
	if err != nil {
		return err
	}
	l.notary.Lock()
	defer l.notary.Unlock()
	l.mu.Lock()
	if l.closed || l.anchor != nil || l.stats.Checkpoint.Seq < after.Seq {
		defer l.mu.Unlock()
		return errors.Join(errors.New("not while records cannot be anchored"), l.anchor)
	}
	l.enter(func() {
		l.declare(l.pending, KindRemoved, &Event{}, true,
			fmt.Appendf(nil, `,"after":"%s","removed":%d`, after.MAC, after.Seq)...)
	})
	err = l.commit(nil)
	if err == nil {
		err = l.sign()
		l.mu.Lock()
		l.anchor = err
		l.mu.Unlock()
	}
	if err == nil {
		l.removed = after.Seq
	}
	return err
}

// verifyOld returns the checkpoint that signed the end of the last of these files, once all of them hold.
func (l *Log) verifyOld(ctx context.Context, old []ended) (Checkpoint, error) {
	p := &parts{alone: true}
	defer p.close()
	for _, e := range old {
		f, err := l.dir.Open(e.name, os.O_RDONLY, 0)
		if err != nil {
			return Checkpoint{}, err
		}
		p.list = append(p.list, part{ended: e, f: f})
	}
	if err := p.measure(); err != nil {
		return Checkpoint{}, err
	}
	checkpoints, err := readWhole(l.o.CheckpointPath, true)
	if err != nil {
		return Checkpoint{}, err
	}
	all, bad, err := readCheckpoints(bytes.NewReader(checkpoints), l.o.Keys.Public().Sign)
	if err == nil && bad != nil {
		err = fmt.Errorf("kept, because they are evidence: %s", bad)
	}
	if err != nil {
		return Checkpoint{}, err
	}
	v := newVerifier(nil, l.o.Keys.Chain)
	v.checkpoints, v.anchors, v.part = all, true, true
	report, err := v.runParts(ctx, p)
	if err != nil {
		return Checkpoint{}, err
	}
	last := old[len(old)-1].to
	if !report.OK {
		return Checkpoint{}, fmt.Errorf("kept, because they are evidence: %s", report.FirstBad)
	}
	if report.Anchored.To != last {
		return Checkpoint{}, fmt.Errorf("kept, because no checkpoint signs record %d", last)
	}
	return all[v.matched-1], nil
}

// findRemoved looks for the record that says that what comes before the first of these files was removed. Without it
// someone else has removed that, and nothing is added to it.
func (l *Log) findRemoved(ctx context.Context, files []ended) error {
	missing := files[0].from - 1
	if missing <= l.removed {
		return nil
	}
	names := []string{""}
	for i := range files {
		names = append(names, files[len(files)-1-i].name)
	}
	for _, name := range names {
		path := l.o.Path
		if name != "" {
			path = beside(l.o.Path, name)
		}
		removed, err := lastRemoved(ctx, path)
		if err != nil {
			return err
		}
		if l.removed = max(l.removed, removed); l.removed >= missing {
			return nil
		}
	}
	return fmt.Errorf("records 1 to %d are missing, and no record says that they were removed: nothing more is removed",
		missing)
}

// lastRemoved is up to where the removed records in a file say that records were removed.
func lastRemoved(ctx context.Context, path string) (int, error) {
	f, err := localfile.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	in, to := newLines(f), 0
	for ctx.Err() == nil {
		line, err := in.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			return to, nil
		}
		if err != nil {
			return 0, err
		}
		if h, ok := parseHead(line); ok && string(h.kind) == string(KindRemoved) {
			if rec, err := Parse(line); err == nil {
				to = max(to, rec.Removed.To)
			}
		}
	}
	return 0, ctx.Err()
}
