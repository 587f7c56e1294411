package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// tries is how often a file that changes while it is read is read again.
const tries = 3

// name turns a path into a name below the folder.
func (s *Store) name(path string) (string, error) {
	name := path
	if strings.HasPrefix(path, "/") {
		below, ok := strings.CutPrefix(path, strings.TrimSuffix(s.dir, "/")+"/")
		if !ok {
			return "", fault.WithHint(fmt.Errorf("%w: the file is not below the folder", secret.ErrDenied),
				"only files below `dir` of the store are read; set it to the file's folder, or add a store for that")
		}
		name = below
	}
	for segment := range strings.SplitSeq(name, "/") {
		// Kubernetes keeps what is behind its links in names that begin with two dots.
		if segment == "" || segment == "." || strings.HasPrefix(segment, "..") || strings.ContainsRune(segment, 0) {
			return "", fault.WithHint(fmt.Errorf("%w: this cannot be a file's name here", secret.ErrNotFound),
				"name the file as it is listed below the folder, without empty segments and dots")
		}
	}
	return name, nil
}

// read returns the content without the line break at its end. A file that is written meanwhile is read again: half of a
// new secret is no secret.
func read(root *os.Root, name string) ([]byte, fs.FileInfo, error) {
	for range tries {
		content, before, after, err := readOnce(root, name)
		if err != nil {
			return nil, nil, explain(err)
		}
		if !same(before, after) || int64(len(content)) != after.Size() {
			continue
		}
		content = trimNewline(content)
		switch {
		case len(content) == 0:
			return nil, nil, unavailable("the file is empty",
				"write the secret into it; replace it by renaming, so that nobody reads half of it")
		case len(content) > MaxValue:
			return nil, nil, unavailable("the file has more than 1 MiB",
				"a secret has at most 1 MiB: see whether this is the file that was meant")
		}
		return content, after, nil
	}
	return nil, nil, unavailable("the file is being written", "replace it by renaming, so that nobody reads half of it")
}

// readOnce reads and tells what the file was before and after.
func readOnce(root *os.Root, name string) (content []byte, before, after fs.FileInfo, err error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe without a writer would block the opening
	if err != nil {
		return nil, nil, nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	if before, err = f.Stat(); err != nil {
		return nil, nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, nil, irregular(before)
	}
	const most = MaxValue + int64(len("\ufeff\r\n"))
	if before.Size() > most {
		return nil, nil, nil, unavailable("the file has more than 1 MiB",
			"a secret has at most 1 MiB: see whether this is the file that was meant")
	}
	if content, err = io.ReadAll(io.LimitReader(f, most+1)); err != nil {
		return nil, nil, nil, err
	}
	after, err = f.Stat()
	return content, before, after, err
}

// trimNewline removes what editors add to a text: a byte order mark (Windows) and one line break at the end.
func trimNewline(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if line, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(line, []byte("\r"))
	}
	return b
}

// same tells whether a file is as it was, as far as that shows without reading it. nil is none.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func irregular(info fs.FileInfo) error {
	what := "a special file"
	if info.IsDir() {
		what = "a folder"
	}
	return fault.WithHint(fmt.Errorf("%w: it is %s, not a file", secret.ErrNotFound, what),
		"name a file in it, as in ref+file://FOLDER/FILE; a mount of a file that was not there makes a folder")
}

// explain sorts what the system says of a file into the port's vocabulary.
func explain(err error) error {
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrUnavailable):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return fault.WithHint(secret.ErrNotFound,
			"see that it is mounted: under `secrets` of the Compose service or the pod's `volumes`; names are "+
				"case-sensitive")
	case errors.Is(err, fs.ErrPermission):
		return fault.WithHint(fmt.Errorf("%w: the file cannot be read by user %d", secret.ErrDenied, os.Getuid()),
			"let that user read it: `uid` and `mode: 0400` of the Compose or Swarm secret, `fsGroup` or "+
				"`defaultMode` of the pod's volume")
	case isErrno(err):
		return unavailable("the file cannot be read: "+errnoOf(err), "see whether the volume is mounted and works")
	}
	// What is no answer of the system is os.Root's own: a link that leads out.
	return fault.WithHint(fmt.Errorf("%w: a symbolic link leads out of the folder", secret.ErrDenied),
		"set `dir` of the store to a folder that has the file itself")
}

// noFolder explains why the folder cannot be entered. A volume that is not mounted is an outage, not a secret that is
// gone.
func (s *Store) noFolder(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fault.WithHint(fmt.Errorf("%w: the folder cannot be entered by user %d", secret.ErrDenied, os.Getuid()),
			"let that user enter it: chmod a+x, or another owner")
	}
	return unavailable("the folder cannot be opened: "+errnoOf(err),
		"see that it is mounted, and that `dir` of the store is its name")
}

func isErrno(err error) bool {
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}

func errnoOf(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return "it is not a folder"
}

func unavailable(what, hint string) error {
	return fault.WithExit(fault.WithHint(fmt.Errorf("%w: %s", secret.ErrUnavailable, what), hint), fault.ExitStore)
}
