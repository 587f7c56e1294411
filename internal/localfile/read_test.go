package localfile_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/localfile"
)

// TestReadEnds: whatever a name leads to, reading it ends in time and within bounds.
func TestReadEnds(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("file"), "text")
	write(t, path("large"), strings.Repeat("x", 101))
	if err := errors.Join(os.Symlink("file", path("link")), syscall.Mkfifo(path("fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", path("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if b, err := localfile.Read(os.DevNull, 100); err != nil || len(b) > 0 {
		t.Errorf("%s: got %q %v", os.DevNull, b, err)
	}
	for name, want := range map[string]error{
		path("file"): nil, path("link"): nil, path("large"): localfile.ErrFileTooLarge,
		path("fifo"): context.DeadlineExceeded, path("socket"): localfile.ErrKind,
		path("nothing"): os.ErrNotExist, dir: localfile.ErrKind, "/dev/zero": localfile.ErrKind,
		"/dev/tty": localfile.ErrKind,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		b, err := localfile.ReadContext(ctx, name, 100)
		cancel()
		if name == "/dev/tty" && err != nil {
			continue // without a terminal it is another error
		}
		if !errors.Is(err, want) || err == nil && string(b) != "text" {
			t.Errorf("%s: got %q %v, want %v", name, b, err, want)
		}
	}
}

// TestReadPipe reads what comes through a pipe, early or late, and not longer than it may.
func TestReadPipe(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(fifo, []byte("from a pipe"), 0) }() // waits for a reader
	b, err := localfile.Read(fifo, 100)
	if err = errors.Join(err, <-wrote); err != nil || string(b) != "from a pipe" {
		t.Errorf("got %q %v", b, err)
	}
	held, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := held.WriteString("no end"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if b, err := localfile.ReadContext(ctx, fifo, 100); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a pipe without an end: got %q %v", b, err)
	}
	if _, err := held.WriteString(strings.Repeat("x", 101)); err != nil {
		t.Fatal(err)
	}
	if b, err := localfile.Read(fifo, 100); !errors.Is(err, localfile.ErrFileTooLarge) {
		t.Errorf("more than may be: got %d bytes, %v", len(b), err)
	}
}
