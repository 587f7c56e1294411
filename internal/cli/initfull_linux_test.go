package cli_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"sallyport/internal/testkit"
)

// TestInitOnAFullDisk: half a file would pass for one that is in use, and keep the next init from succeeding.
func TestInitOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		testkit.RequireTool(t, "a small file system", false, err.Error()+" (mounting wants root)")
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	for room := 0; ; room += os.Getpagesize() { // the disk is full at another file each time
		if err := os.WriteFile(ballast, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(ballast, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write(make([]byte, 64<<10-room)) // as much as there is
		_ = f.Close()
		exit, _ := command(t, "init", "--config", filepath.Join(dir, "sallyport.yaml"), "--data",
			filepath.Join(dir, "data"))
		if exit == 0 {
			return
		}
		for _, path := range []string{"sallyport.yaml", "data/seal.key", "data/ca.key", "data/ca.pem"} {
			if info, err := os.Stat(filepath.Join(dir, path)); err == nil && info.Size() == 0 {
				t.Errorf("with room for %d bytes: it left an empty %s", room, path)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "data", "seal.key")); err == nil {
			_ = os.RemoveAll(filepath.Join(dir, "data")) // as the hint says
		}
		if room > 64<<10 {
			t.Fatal("it never succeeds")
		}
	}
}
