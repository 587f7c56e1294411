package exec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// maxFile bounds what is read of a file of the command, in bytes: programs are large, and nothing is kept of them.
const maxFile = 512 << 20

// interpreters are programs that do what a file among their arguments says.
var interpreters = []string{
	"ash", "bash", "bun", "busybox", "dash", "deno", "env", "ksh", "lua", "node", "perl", "php", "pwsh", "python",
	"ruby", "sh", "zsh",
}

// paths are the files that decide what the command does: the program, the script of an interpreter, and those that the
// settings name. What these read themselves is theirs.
func (s *Settings) paths() []string {
	var list []string
	if len(s.Command) > 0 {
		program := s.Command[0]
		if found, err := exec.LookPath(program); err == nil {
			program = found
		}
		list = append(list, program)
		name := strings.TrimRight(filepath.Base(program), "0123456789.")
		if slices.Contains(interpreters, name) {
			i := slices.IndexFunc(s.Command[1:], isFile)
			if i >= 0 {
				list = append(list, s.Command[1+i])
			}
		}
	}
	return append(list, s.Files...)
}

// others is an error if everybody may change one of these files: the command runs as the gate's user.
func (s *Settings) others() error {
	for _, path := range s.paths() {
		if err := localfile.OthersMayWrite(path); err != nil {
			return err
		}
	}
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// files reads the files of the command.
func (s *Settings) files() ([]driver.File, error) {
	var list []driver.File
	for _, path := range s.paths() {
		one, err := digest(path)
		if err != nil {
			return nil, fmt.Errorf("reading what the command does: %w", err)
		}
		list = append(list, one)
	}
	return list, nil
}

func digest(path string) (driver.File, error) {
	f, err := localfile.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return driver.File{Path: path}, nil // who runs it says so
	}
	if err != nil {
		return driver.File{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return driver.File{}, err
	}
	if n > maxFile {
		return driver.File{}, fmt.Errorf("%q has more than %d MiB", path, maxFile>>20)
	}
	return driver.File{Path: path, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// Files implements driver.Filed.
func (d *commanded) Files() []driver.File { return slices.Clone(d.files) }

// same is an error if the command would do something else than when the driver was opened: people may have approved of
// that.
func (d *commanded) same() error {
	now, err := d.s.files()
	if err != nil {
		return fmt.Errorf("%w: %w", driver.ErrRefused, err)
	}
	for i, one := range now {
		if i >= len(d.files) || d.files[i] != one {
			return fault.WithHint(fmt.Errorf("%w: %s has changed since this run of the rotation was taken up",
				driver.ErrRefused, one.Path), "rotate again; where people approve, they read the plan again")
		}
	}
	return nil
}
