package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// Rotation tells of a file that was ended.
type Rotation struct {
	File    string `json:"file"`    // its path from now on
	Records Range  `json:"records"` // in it
	Bytes   int64  `json:"bytes"`
}

// The steps of a rotation, in order. Whatever ends the process behind one of them, the next Open goes on from there:
//
//	signed    the file ends with a record that a checkpoint signs; everything is synced
//	prepared  the next file is there beside it, under a name of its own, with its first record, synced
//	renamed   the file has the name of its records
//	switched  the next file has the log's name; both names are synced
//	anchored  a checkpoint signs the next file's first record
//
// Nothing else is written between signed and switched, and nothing is acknowledged in the next file before. A step that
// fails is taken back, and the log goes on in the file it had.
const (
	stepSigned   = "signed"
	stepPrepared = "prepared"
	stepRenamed  = "renamed"
	stepSwitched = "switched"
	stepAnchored = "anchored"
)

// retryRotation is how long a rotation that failed by itself waits: the disk is full, most likely.
const retryRotation = time.Minute

// ask is a rotation that someone waits for.
type ask struct {
	moved bool
	done  chan rotated
}

type rotated struct {
	Rotation

	err error
}

// errInPlace ends a rotation that was only for a file that someone has moved.
var errInPlace = errors.New("the log is in its place")

// Rotate ends the log's file with a signed checkpoint, and begins the next one. Records that come meanwhile wait for
// it: three to five calls of fsync. After an error the log goes on in the file it had.
//
// A file that someone has moved is ended where it is, and takes its proper name if it is still in the same folder.
func (l *Log) Rotate(ctx context.Context) (Rotation, error) { return l.ask(ctx, false) }

// Resettle is Rotate for a log that someone has moved away, as logrotate does, and does nothing (false) when it is
// where it belongs.
func (l *Log) Resettle(ctx context.Context) (Rotation, bool, error) {
	r, err := l.ask(ctx, true)
	if errors.Is(err, errInPlace) {
		return r, false, nil
	}
	return r, err == nil, err
}

func (l *Log) ask(ctx context.Context, moved bool) (Rotation, error) {
	a := ask{moved: moved, done: make(chan rotated, 1)}
	select {
	case l.asks <- a:
	case <-l.quit:
		return Rotation{}, ErrClosed
	case <-ctx.Done():
		return Rotation{}, fmt.Errorf("rotating the audit log: %w", context.Cause(ctx))
	}
	r := <-a.done // whoever took it answers
	return r.Rotation, r.err
}

// rotateWhenDue rotates a file that has grown too large or too old. One with nothing in it but its own first record
// stays.
func (l *Log) rotateWhenDue() {
	l.mu.Lock()
	now, failed := l.o.Now(), l.filed != nil
	l.mu.Unlock()
	if failed && now.Before(l.retryAt) || l.Stats().Seq <= l.file.from {
		return
	}
	if now.Before(l.begun) {
		l.begun = now // the clock was set back, maybe from a year that nobody would live to see
	}
	large := l.o.RotateSize > 0 && l.Stats().Bytes >= l.o.RotateSize
	old := l.o.RotateEvery > 0 && now.Sub(l.begun) >= l.o.RotateEvery
	if !large && !old {
		return
	}
	if _, err := l.rotate(false); err != nil {
		l.retryAt = now.Add(retryRotation)
	}
}

// rotate runs on the keeper's goroutine, which is the only other one that uses the file as such.
func (l *Log) rotate(moved bool) (Rotation, error) {
	l.notary.Lock()
	defer l.notary.Unlock()
	if moved && l.file.attached() == nil {
		return Rotation{}, errInPlace
	}
	err := l.file.sync() // most of the work, before anybody has to wait
	var r Rotation
	if err == nil {
		l.hold()
		err = guard.Try("rotating the audit log", func() (err error) {
			r, err = l.turnOver()
			return err
		})
		if why, ok := errors.AsType[*fault.Panic](err); ok {
			l.o.Broke(why) // who waits for its turn gets it all the same
		}
		l.mu.Lock()
		l.pass()
		l.mu.Unlock()
	}
	if err != nil {
		err = fmt.Errorf("rotating audit log %q: %w", l.o.Path, err)
	}
	l.mu.Lock()
	l.filed = err
	l.mu.Unlock()
	l.o.OnRotate(r, err)
	if err == nil {
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
	return r, err
}

// turnOver does the steps. The caller has the turn and the notary.
func (l *Log) turnOver() (Rotation, error) {
	old := l.file
	present, err := l.present()
	if err != nil {
		return Rotation{}, err
	}
	if err := l.finish(KindCheckpoint, nil); err != nil {
		return Rotation{}, err
	}
	l.o.step(stepSigned)
	r := Rotation{Records: Range{From: old.from, To: l.at.seq}, Bytes: old.size}
	name := endedName(l.o.Path, old.from, l.at.seq)
	r.File = beside(l.o.Path, name)
	next, at, err := l.prepare()
	if err == nil {
		l.o.step(stepPrepared)
		if err = l.swap(present, name); err != nil {
			err = errors.Join(err, next.close())
		}
	}
	if err != nil {
		if gone := l.dir.Remove(nextName(l.o.Path)); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return Rotation{}, err
	}
	l.o.step(stepSwitched)
	l.mu.Lock()
	l.file, l.at, l.marked, l.gone, l.begun = next, at, at, nil, l.o.Now()
	l.stats.Seq, l.stats.Bytes = at.seq, next.size
	l.stats.Records++
	l.mu.Unlock()
	closed := old.close()
	err = errors.Join(closed, l.sign())
	l.mu.Lock()
	l.anchor = err // the next checkpoint makes up for it
	l.mu.Unlock()
	l.o.step(stepAnchored)
	return r, nil
}

// finish writes a record of its own and signs the chain as it stands after it. The caller has the turn and the notary.
func (l *Log) finish(kind Kind, more []byte) error {
	b := &batch{}
	l.mu.Lock()
	l.enter(func() { l.declare(b, kind, &Event{}, true, more...) })
	l.mu.Unlock()
	at, err := l.writeSafely(b, nil)
	l.mu.Lock()
	l.settle(b, at, err)
	l.mu.Unlock()
	if err == nil {
		err = l.sign()
	}
	return err
}

// present is the name that the file has in the log's folder now, or "" if someone has moved it to another. What has the
// log's name in its place must be nothing, or an empty file of ours, as logrotate makes one.
func (l *Log) present() (string, error) {
	base := filepath.Base(l.o.Path)
	if l.file.attached() == nil {
		return base, nil
	}
	switch info, err := l.dir.Lstat(base); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	default:
		if err := l.dir.Check(base); err != nil {
			return "", err
		}
		if info.Size() > 0 {
			return "", fmt.Errorf("%q was replaced by a file that is not empty", l.o.Path)
		}
	}
	own, err := l.file.f.Stat()
	if err != nil {
		return "", err
	}
	names, err := l.dir.Names()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if info, err := l.dir.Lstat(name); err == nil && os.SameFile(info, own) {
			return name, nil
		}
	}
	return "", nil
}

// nextName is where a file is prepared.
func nextName(path string) string { return filepath.Base(path) + ".next" }

// continuation says where in the log a file begins whose first record comes now.
func (l *Log) continuation() []byte {
	return fmt.Appendf(nil, `,"offset":%d,"after":"%s","file":"%s"`, l.at.offset,
		macEncoding.EncodeToString(l.at.mac[:]), l.previous)
}

// prepare makes the next file, locked and synced, with its first record. It returns the position behind that.
func (l *Log) prepare() (next *file, at position, err error) {
	name := nextName(l.o.Path)
	if err := l.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, at, err
	}
	f, err := l.dir.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, at, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("preparing the next file: %w", err), f.Close())
		}
	}()
	if next, err = newFile(l.o.Path, f); err != nil {
		return nil, at, err
	}
	if err := syscall.Flock(next.fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, at, err
	}
	b := &batch{}
	l.mu.Lock()
	at = l.at
	l.previous = endedName(l.o.Path, l.file.from, at.seq)
	l.declare(b, KindContinued, &Event{}, true, l.continuation()...)
	l.mu.Unlock()
	next.base, next.from = at.offset, at.seq+1
	if err := next.append(l.chain.seal(nil, &at, b.buf)); err != nil {
		return nil, at, err
	}
	return next, at, next.sync()
}

// swap gives the file its own name, and the log's to the next one. After an error both have the names they had.
func (l *Log) swap(present, name string) error {
	base, next := filepath.Base(l.o.Path), nextName(l.o.Path)
	if _, err := l.dir.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%q is there already", name), err)
	}
	back := func(err error) error {
		if present == "" {
			return err
		}
		return errors.Join(err, l.dir.Rename(name, present))
	}
	if present != "" {
		if err := l.dir.Rename(present, name); err != nil {
			return fmt.Errorf("renaming the file: %w", err)
		}
	}
	l.o.step(stepRenamed)
	if err := l.dir.Rename(next, base); err != nil {
		return back(fmt.Errorf("renaming the next file: %w", err))
	}
	if err := l.dir.Sync(); err != nil {
		return back(errors.Join(err, l.dir.Rename(base, next)))
	}
	return nil
}
