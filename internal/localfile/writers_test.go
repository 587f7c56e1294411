package localfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// TestOthersMayWrite: a file counts as everybody's by its own mode, by its folder's, and through a link.
func TestOthersMayWrite(t *testing.T) {
	for _, c := range []struct {
		name      string
		file, dir os.FileMode
		others    bool
	}{
		{"ours", 0o644, 0o755, false},
		{"the group's", 0o664, 0o775, false},
		{"everybody's", 0o646, 0o755, true},
		{"in everybody's folder", 0o600, 0o777, true},
		{"in a folder like /tmp", 0o600, 0o777 | os.ModeSticky, false},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		file := filepath.Join(dir, "f")
		link := filepath.Join(t.TempDir(), "l")
		for _, err := range []error{
			os.Mkdir(dir, 0o700), os.WriteFile(file, nil, 0o600), os.Chmod(file, c.file), os.Chmod(dir, c.dir),
			os.Symlink(file, link),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{file, link} {
			err := localfile.OthersMayWrite(path)
			if (err != nil) != c.others || err != nil && fault.HintOf(err) == "" {
				t.Errorf("%s: %v (%s)", c.name, err, fault.HintOf(err))
			}
		}
	}
	for _, path := range []string{"", "/no/such/file", os.DevNull} {
		if err := localfile.OthersMayWrite(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
}
