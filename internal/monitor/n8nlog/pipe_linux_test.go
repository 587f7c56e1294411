package n8nlog_test

import (
	"path/filepath"
	"syscall"
	"testing"
)

// TestPipe: a named pipe is no file, and to look at it keeps nobody from stopping.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w := start(t, nil, false, "main="+path)
	w.await(`sallyport_n8n_log_readable{node="main"}`, "0")
	w.stop()
	if err := <-w.ended; err != nil {
		t.Error(err)
	}
}
