package spool

import (
	"os"
	"syscall"
)

// tmpfile is O_TMPFILE (Linux 3.11): a file that never has a name.
const tmpfile = 0o20000000 | syscall.O_DIRECTORY

// unnamed makes a file in dir that nobody else can open and that is gone when it is closed.
func unnamed(dir string) (*os.File, error) {
	file, err := os.OpenFile(dir, tmpfile|os.O_RDWR|syscall.O_CLOEXEC, 0o600) //nolint:gosec // the directory is the operator's setting, and the file in it has no name
	if err == nil {
		return file, nil
	}
	return unlinked(dir) // a file system without it: overlayfs of old kernels, NFS
}
