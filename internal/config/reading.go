package config

import (
	"errors"
	"io/fs"
	"os"

	"sallyport/internal/config/document"
	"sallyport/internal/localfile"
)

// readBounded reads at most a little more than a configuration may have.
func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > document.MaxBytes:
		return nil, errors.New("larger than 4 MiB: split it over services.d/*.yaml")
	}
	return localfile.Read(name, document.MaxBytes) // bounded itself: the file may have been changed since
}

// unreadableHint is what to do about a configuration that cannot be read.
func unreadableHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "the user that runs this command must have the right to read it"
	case errors.Is(err, fs.ErrNotExist):
		return "check the path, or make a configuration with `sallyport init`"
	}
	return "name the file itself with --config"
}

// reason is the system's word for it, without the path that the message has already.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
