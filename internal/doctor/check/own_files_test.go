package check_test

import (
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/check"
)

func TestOwnFiles(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	key := written(t, dir, "seal.key", canary, 0o600)
	written(t, data, "sallyport.db", "", 0o600)
	on := configured(t, "data: "+data+"\nseal: {key_file: "+key+"}\n")
	mode := func(file string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	if r := one(t, "own-files", on); r.Status != doctor.OK {
		t.Errorf("all shut: %+v", r.Seen)
	}
	mode(key, 0o644)
	mode(data, 0o755)
	r := one(t, "own-files", on)
	golden(t, "own-files", r, dir, "DIR")
	has(t, r, doctor.Failed, "everybody on this machine may read it (mode 0644)")
	mode(key, 0o660)
	has(t, one(t, "own-files", on), doctor.Warning, "its group may change it")
	mode(key, 0o666)
	has(t, one(t, "own-files", on), doctor.Failed, "everybody on this machine may change it")

	// --fix shuts them, keeps what the group may read, and follows no link
	mode(key, 0o646)
	elsewhere := written(t, t.TempDir(), "elsewhere", canary, 0o644)
	mode(elsewhere, 0o644)
	link := filepath.Join(data, "sallyport.db")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	checks, _, err := doctor.Choose(check.All(), []string{"own-files"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	fixed, err := doctor.Run(t.Context(), checks, on, doctor.Options{Fix: true})
	if err != nil || len(fixed.Results[0].Fixed) != 2 {
		t.Errorf("got %v, %+v", err, fixed.Results[0])
	}
	for file, want := range map[string]os.FileMode{key: 0o640, data: 0o750, elsewhere: 0o644} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %o, want %o: %v", file, info.Mode().Perm(), want, err)
		}
	}
}
