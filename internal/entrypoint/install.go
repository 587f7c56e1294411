package entrypoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Install copies the running program to path, whole or not at all: how an init container of an image without a shell
// hands it to the containers after it.
func Install(path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("installing at %q: %w", path, err)
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(self) //nolint:gosec // this program
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // read only
	to, err := os.CreateTemp(filepath.Dir(path), ".sallyport-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	err = errors.Join(err, to.Chmod(0o755), to.Close())
	if err == nil {
		err = os.Rename(to.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(to.Name()))
	}
	return nil
}
