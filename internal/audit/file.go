package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sallyport/internal/localfile"
	"sallyport/internal/pause"
)

// file appends to one file and knows how long it ought to be. Whatever it can't write
// whole it cuts back, at once or before the next attempt.
//
// append, cut and attached belong to one goroutine at a time; sync may run beside them.
type file struct {
	path string
	f    *os.File
	fd   int
	size int64 // everything before it was acknowledged; nothing after it was
	torn bool  // bytes after size may be in the file
	base int64 // how many bytes of the log lie in files before this one
	from int   // the first record in it, or that will be
	stat syscall.Stat_t
}

// openFile opens or makes a file. O_APPEND matters: after someone truncates the file the
// next write must not leave a hole that hides it.
func openFile(path string) (*file, error) {
	f, err := localfile.OpenOwn(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return newFile(path, f)
}

func newFile(path string, f *os.File) (*file, error) {
	a := &file{path: path, f: f, fd: int(f.Fd()), from: 1}
	if err := syscall.Fstat(a.fd, &a.stat); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	a.size = a.stat.Size
	return a, nil
}

// lock takes the writer's lock for as long as the file is open, or returns ErrLocked. It
// asks three times, because a verifier holds the lock for an instant to see who has it.
func (a *file) lock(ctx context.Context) error {
	err := syscall.Flock(a.fd, syscall.LOCK_EX|syscall.LOCK_NB)
	for tries := 1; errors.Is(err, syscall.EWOULDBLOCK); tries++ {
		if tries == 3 {
			return ErrLocked
		}
		if ended := pause.For(ctx, 5*time.Millisecond); ended != nil {
			return ended
		}
		err = syscall.Flock(a.fd, syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	if a.attached() != nil {
		return ErrLocked // set aside by another process between our open and our lock
	}
	if err := syscall.Fstat(a.fd, &a.stat); err != nil {
		return err
	}
	a.size = a.stat.Size // another process may have written between our open and our lock
	return nil
}

// append writes p whole, or returns an error and leaves the file as it was.
func (a *file) append(p []byte) error {
	if a.torn {
		if err := a.cut(); err != nil {
			return err
		}
	}
	a.torn = true
	if _, err := a.f.Write(p); err != nil {
		return errors.Join(err, a.cut())
	}
	if err := a.expect(a.size + int64(len(p))); err != nil {
		return err
	}
	a.torn = false
	a.size += int64(len(p))
	return nil
}

// uncertain takes back what append acknowledged since the file had this size.
func (a *file) uncertain(size int64) {
	a.size, a.torn = size, true
}

// expect checks what only the file itself can tell: that it is still in a directory, and
// exactly as long as our writes made it.
func (a *file) expect(size int64) error {
	if err := syscall.Fstat(a.fd, &a.stat); err != nil {
		return err
	}
	if a.stat.Nlink == 0 {
		return fmt.Errorf("%q was removed while in use", a.path)
	}
	if a.stat.Size != size {
		return fmt.Errorf("%q was changed by someone else: it has %d bytes, want %d", a.path, a.stat.Size, size)
	}
	return nil
}

// cut takes the file back to what was acknowledged. A file that is shorter than that is
// left alone: cutting would fill it up with zeros.
func (a *file) cut() error {
	if err := syscall.Fstat(a.fd, &a.stat); err != nil {
		return err
	}
	if a.stat.Size < a.size {
		return fmt.Errorf("%q was cut by someone else: it has %d bytes, want %d", a.path, a.stat.Size, a.size)
	}
	if err := a.f.Truncate(a.size); err != nil {
		return fmt.Errorf("cutting off a partial write: %w", err)
	}
	a.torn = false
	return nil
}

// attached returns an error once path no longer leads to the open file.
func (a *file) attached() error {
	there, err := os.Stat(a.path)
	if err != nil {
		return fmt.Errorf("finding the open file again: %w", err)
	}
	own, err := a.f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(there, own) {
		return fmt.Errorf("%q was replaced while in use", a.path)
	}
	return nil
}

// firstLine is the first line with its newline, or nil when none is whole.
func (a *file) firstLine() ([]byte, error) {
	line, err := newLines(io.NewSectionReader(a.f, 0, a.size)).next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, errTorn):
		return nil, nil
	case errors.Is(err, errLong):
		return line, nil // no record: whoever checks it will say so
	}
	return line, err
}

func (a *file) sync() error  { return a.f.Sync() }
func (a *file) close() error { return a.f.Close() }

// tail returns up to n bytes from the end.
func (a *file) tail(n int64) ([]byte, error) {
	n = min(n, a.size)
	p := make([]byte, n)
	_, err := a.f.ReadAt(p, a.size-n)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return p, err
}

// syncDir makes a new name in path's directory survive a power cut.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
