package file_test

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"sallyport/internal/secret"
)

// asNobody calls do with the rights of the user nobody on the file system, as far as this process may.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread() // the rights are this thread's, which ends with the goroutine
	if err := syscall.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	do()
	if err := syscall.Setfsuid(0); err != nil {
		t.Fatal(err)
	}
	runtime.UnlockOSThread()
}

func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "mine"), canary)
	write(t, filepath.Join(dir, "closed/x"), canary)
	for name, mode := range map[string]os.FileMode{"..": 0o755, "": 0o755, "mine": 0, "closed": 0} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Chmod(filepath.Join(dir, "closed"), 0o700)
	store, closed := open(t, dir), open(t, filepath.Join(dir, "closed"))
	asNobody(t, func() {
		for _, path := range []string{"mine", "closed/x"} {
			_, _, err := store.Get(t.Context(), path, "")
			wantErr(t, err, secret.ErrDenied, path)
		}
		_, _, err := closed.Get(t.Context(), "x", "")
		wantErr(t, err, secret.ErrDenied, "cannot be entered")
		_, err = store.List(t.Context(), "")
		wantErr(t, err, secret.ErrDenied, "")
	})
}
