package spool

import "os"

// unlinked makes a file with a name that cannot be guessed and takes the name away at once. os.CreateTemp makes it
// 0600.
func unlinked(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, ".body-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
