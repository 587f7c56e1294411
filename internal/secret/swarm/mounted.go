package swarm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// mountTable is where Linux lists what is mounted into this process's world (proc(5)).
const mountTable = "/proc/self/mountinfo"

// maxRead is the size of the largest value that is read, in bytes: a Compose secret is a file of any size.
const maxRead = 1 << 20

// mounted is a secret as it is mounted.
type mounted struct {
	value   secret.Value
	id      string // Docker's id of it, or ""
	version secret.Version
}

// read returns what is mounted under a name that was checked.
func (s *Store) read(name string) (mounted, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return mounted{}, explain(err)
	}
	defer root.Close() //nolint:errcheck // a folder, opened to read
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return mounted{}, explain(err)
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return mounted{}, explain(err)
	}
	if !info.Mode().IsRegular() {
		return mounted{}, notMounted("there is a folder or a special file of this name")
	}
	content, err := io.ReadAll(io.LimitReader(f, maxRead+2))
	if err != nil {
		return mounted{}, explain(err)
	}
	switch content = trimNewline(content); {
	case len(content) == 0:
		return mounted{}, unavailable("the file is empty", "see what the secret was created from")
	case len(content) > maxRead:
		return mounted{}, unavailable("the file has more than 1 MiB", "see whether this is the file that was meant")
	}
	m := mounted{value: secret.NewValue(content), id: s.dockerID(name)}
	written := info.ModTime().UTC()
	m.version = secret.Version{ID: m.id, Created: written, Current: true}
	if m.id == "" {
		m.version.ID = written.Format(time.RFC3339Nano)
	}
	return m, nil
}

// explain sorts what the system says of a file into the port's vocabulary.
func explain(err error) error {
	errno, isErrno := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return notMounted("it is not mounted here")
	case errors.Is(err, fs.ErrPermission):
		return fault.WithHint(fmt.Errorf("%w: the file cannot be read by user %d", secret.ErrDenied, os.Getuid()),
			"let that user read it: `uid` and `mode` under `secrets` of the service")
	case isErrno:
		return unavailable("the file cannot be read: "+errno.Error(), "see whether the folder works")
	}
	return fault.WithHint(fmt.Errorf("%w: a symbolic link leads out of the folder", secret.ErrDenied),
		"set `dir` of the store to the folder that has the file itself")
}

// mountOptions go with each --secret-add: without them Docker mounts a secret for root, with mode 0444. UID and GID are
// the user that the service runs as.
const mountOptions = ",uid=UID,gid=GID,mode=0400"

func notMounted(why string) error {
	return fault.WithHint(fmt.Errorf("%w: %s", secret.ErrNotFound, why),
		"give it to the service: `docker service update --secret-add source=NAME_vN,target=NAME"+mountOptions+
			" SERVICE`, or under `secrets` of the stack")
}

// dockerID is Docker's id of the secret behind a name: Docker mounts each from a file of its own, which is called as
// the id.
func (s *Store) dockerID(name string) string {
	table, err := os.ReadFile(mountTable)
	if err != nil {
		return "" // not Linux
	}
	point := filepath.Join(s.dir, name)
	id := ""
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && fields[4] == point { // a later line lies over an earlier one
			id = path.Base(fields[3])
		}
	}
	if isDockerID(id) {
		return id
	}
	return ""
}

// isDockerID knows the ids that Swarm gives: 25 characters of base 36.
func isDockerID(s string) bool {
	return len(s) == 25 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

// trimNewline removes one line break at the end, which `docker secret create` takes along from what echo prints.
func trimNewline(b []byte) []byte {
	if line, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(line, []byte("\r"))
	}
	return b
}
