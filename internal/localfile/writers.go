package localfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/fault"
)

// OthersMayWrite is an error if everybody on the machine may change the file at path: by writing to it, or by putting
// another in its place. It is for files that decide what runs. A file that is not there, or "", is none; links are
// followed.
func OthersMayWrite(path string) error {
	if path == "" {
		return nil
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil //nolint:nilerr // who reads it says so
	}
	const others = 0o002
	if info, err := os.Stat(real); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&others != 0 {
		return fault.WithHint(fmt.Errorf("everybody may write to %s", real), "chmod o-w "+real)
	}
	dir := filepath.Dir(real)
	// In a folder like /tmp nobody takes another's file away.
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&others != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fault.WithHint(fmt.Errorf("everybody may put another file in the place of %s", real), "chmod o-w "+dir)
	}
	return nil
}
