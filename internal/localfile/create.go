package localfile

import (
	"io/fs"
	"os"
	"syscall"
)

// Create makes a file that a person asked for, open for reading and writing. A name that is taken, be it by a link that
// leads nowhere, is fs.ErrExist: nothing is overwritten, and nothing is written through a link.
func Create(path string, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, mode) //nolint:gosec // the path is the operator's
}
