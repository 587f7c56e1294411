package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"sallyport/internal/localfile"
)

// Beside has the newest page kept in dir, which is made, and looks at what is there. A file that cannot be read is an
// error: what it says may be all that keeps a revoked token revoked. It is called before the first Read.
func (b *Book) Beside(dir string) error {
	// not behind a link of another user: what is read there decides which rows count
	judged, err := localfile.MakeDir(dir)
	if err != nil {
		return fmt.Errorf("making the directory beside the database: %w", err)
	}
	if err := judged.Close(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dir = dir
	p, err := b.load()
	if err == nil && p != nil {
		b.newest = p
	}
	return err
}

// Seen tells whether this process, or one before it on the same directory, has seen a page.
func (b *Book) Seen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest != nil
}

// Failure is why the newest page could not be kept beside the database, or nil.
func (b *Book) Failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failure
}

func (b *Book) path() string { return filepath.Join(b.dir, b.topic) }

// load reads the file; none is nil.
func (b *Book) load() (*Page, error) {
	f, err := os.OpenFile(b.path(), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is kept beside the database: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPage+sha256.Size))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading what is kept beside the database: %w", err)
	}
	if len(text) < sha256.Size {
		return nil, fmt.Errorf("reading what is kept beside the database, %s: %w", b.path(), errAltered)
	}
	p, err := b.open(text[sha256.Size:], text[:sha256.Size])
	if err != nil {
		return nil, fmt.Errorf("reading what is kept beside the database, %s: %w", b.path(), err)
	}
	return p, nil
}

// save replaces the file, unless another process has put a newer page there.
func (b *Book) save(p *Page) error {
	unlock, err := lockFile(b.path() + ".lock")
	if err != nil {
		return fmt.Errorf("keeping the list of %s beside the database: %w", b.topic, err)
	}
	defer unlock()
	if there, err := b.load(); err == nil && there != nil && there.Seq >= p.Seq {
		b.newest = there
		return nil
	}
	text, mac, err := b.seal(p)
	if err == nil {
		err = replace(b.path(), append(mac, text...))
	}
	if err != nil {
		return fmt.Errorf("keeping the list of %s beside the database: %w", b.topic, err)
	}
	return nil
}

// lockFile waits for the lock. No process holds it for longer than a file takes to be written; one that dies gives it
// back.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // below the data directory, which is the operator's
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// replace puts text in the place of the file at path, durably and at once.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
