package localfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sallyport/internal/fault"
)

// maxLinks is how many symbolic links one path may have, as in Linux.
const maxLinks = 40

// Dir is a directory that holds files of ours, held open: renaming it, or putting another in its place, changes nothing
// for who has it.
type Dir struct {
	path string // where it was found, absolute and without a link
	root *os.Root
}

// OpenDir opens a directory that this process may keep its files in: its owner is this user or root, and so are the
// owners of the symbolic links on the way (/var/lib/sallyport → /mnt/data is fine, a link that someone else laid is
// not). One of this user's that everybody may write to is refused. One of root's may be writable for others, as
// Kubernetes makes volumes: there the owner of each file and of each end of a socket is what counts. A path that is not
// there is fs.ErrNotExist.
func OpenDir(path string) (*Dir, error) {
	d, err := openDir(path)
	if err != nil {
		return nil, fmt.Errorf("opening the directory %q: %w", path, err)
	}
	return d, nil
}

// MakeDir is OpenDir that makes the directory, with mode 0700, and those above it, where they are missing.
func MakeDir(path string) (*Dir, error) {
	d, err := openDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(path, 0o700); err == nil {
			d, err = openDir(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("making the directory %q: %w", path, err)
	}
	return d, nil
}

func openDir(path string) (*Dir, error) {
	self := os.Geteuid()
	plain, err := resolve(path, self)
	if err != nil {
		return nil, err
	}
	opened, err := os.OpenRoot(plain)
	if err != nil {
		return nil, bare(err)
	}
	info, err := opened.Stat(".")
	if err == nil {
		err = judgeDir(info, self)
	}
	if err != nil {
		return nil, errors.Join(bare(err), opened.Close())
	}
	return &Dir{plain, opened}, nil
}

func judgeDir(info fs.FileInfo, self int) error {
	uid := owner(info)
	if !trusts(self, uid) {
		return foreign(uid)
	}
	if mode := info.Mode(); uid == self && uid != root && mode.Perm()&0o002 != 0 {
		return fault.WithHint(fmt.Errorf("everybody may write to it (mode %v)", mode),
			"chmod 700 it, and look whether every file in it is yours")
	}
	return nil
}

// resolve follows the links of a path, those of trusted owners alone, and returns the path without any.
func resolve(path string, self int) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	done, rest := string(filepath.Separator), strings.Split(path, string(filepath.Separator))
	for links := 0; len(rest) > 0; {
		step := rest[0]
		rest = rest[1:]
		next := filepath.Join(done, step)
		if step == "" || next == done {
			continue
		}
		info, err := os.Lstat(next)
		if err != nil {
			return "", bare(err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if uid := owner(info); !trusts(self, uid) {
			return "", fmt.Errorf("following the symbolic link %q: %w", next, foreign(uid))
		}
		if links++; links > maxLinks {
			return "", syscall.ELOOP
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", bare(err)
		}
		if filepath.IsAbs(to) {
			done = string(filepath.Separator)
		}
		rest = append(strings.Split(to, string(filepath.Separator)), rest...)
	}
	return done, nil
}

// bare takes the operation and the path off an error: the caller says both.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// Close lets go of the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Path is the directory's path, absolute and without a link in it, as it was when it was opened.
func (d *Dir) Path() string { return d.path }

// Check returns an error unless the file of that name is one of ours, or is not there. It does not open the file:
// SQLite's locks would be lost when it is closed again.
func (d *Dir) Check(name string) error {
	info, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = judge(info, os.Geteuid())
	}
	if err != nil {
		return fmt.Errorf("checking %q: %w", filepath.Join(d.path, name), bare(err))
	}
	return nil
}

// Lstat tells of a name in the directory; a link is not followed.
func (d *Dir) Lstat(name string) (fs.FileInfo, error) { return d.root.Lstat(name) }

// Remove takes a name out of the directory.
func (d *Dir) Remove(name string) error { return d.root.Remove(name) }

// Rename gives a file of ours another name in the directory; a link is not followed. What has that name already is
// replaced.
func (d *Dir) Rename(from, to string) error {
	if err := d.Check(from); err != nil {
		return err
	}
	return d.root.Rename(from, to)
}

// Names are the names in the directory, in no order.
func (d *Dir) Names() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("listing %q: %w", d.path, bare(err))
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// Sync makes new and changed names in the directory survive a power cut.
func (d *Dir) Sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return fmt.Errorf("syncing %q: %w", d.path, bare(err))
	}
	return errors.Join(f.Sync(), f.Close())
}

// Chmod changes the mode of what the directory has under that name; a link is not followed.
func (d *Dir) Chmod(name string, mode fs.FileMode) error { return d.root.Chmod(name, mode) }

// Open opens a file of ours in the directory; flag and mode are os.OpenFile's, without O_TRUNC. See the package for
// what is refused.
func (d *Dir) Open(name string, flag int, mode fs.FileMode) (*os.File, error) {
	f, err := d.open(name, flag, mode)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", filepath.Join(d.path, name), bare(err))
	}
	return f, nil
}

// openTries is how often a file that others make and remove is looked for.
const openTries = 10

// open never makes a file through a link (O_EXCL), and opens what is there before it looks at it: os.Root follows a
// link that stays in the directory, whatever the flags, and then the name itself is not what was opened.
func (d *Dir) open(name string, flag int, mode fs.FileMode) (*os.File, error) {
	const making = os.O_CREATE | os.O_EXCL
	if flag&making == making {
		return d.root.OpenFile(name, flag, mode)
	}
	for try := 1; ; try++ {
		if info, err := d.root.Lstat(name); err == nil {
			if err := judge(info, os.Geteuid()); err != nil {
				return nil, err
			}
		}
		f, err := d.root.OpenFile(name, flag&^os.O_CREATE|syscall.O_NONBLOCK, 0)
		if err == nil {
			if err := d.same(f, name); err != nil {
				return nil, err
			}
			return f, nil
		}
		if flag&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		f, err = d.root.OpenFile(name, flag|os.O_EXCL, mode)
		if !errors.Is(err, fs.ErrExist) || try == openTries {
			return f, err
		}
	}
}

// same closes f and returns an error unless f is what has that name, and one of ours.
func (d *Dir) same(f *os.File, name string) error {
	there, err := d.root.Lstat(name)
	var opened fs.FileInfo
	if err == nil {
		opened, err = f.Stat()
	}
	if err == nil {
		err = errors.Join(judge(there, os.Geteuid()), judge(opened, os.Geteuid()))
	}
	if err == nil && !os.SameFile(there, opened) {
		err = errors.New("another file took its place")
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// OpenOwn opens a file of ours wherever it lies: see Dir.Open. Its directory is judged as OpenDir does.
func OpenOwn(path string, flag int, mode fs.FileMode) (*os.File, error) {
	d, err := OpenDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	f, err := d.Open(filepath.Base(path), flag, mode)
	return f, errors.Join(err, d.Close())
}
