//go:build !linux

package spool

import "os"

// unnamed makes a file in dir that is gone when it is closed.
func unnamed(dir string) (*os.File, error) { return unlinked(dir) }
