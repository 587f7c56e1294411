package program_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/program"
)

func TestRun(t *testing.T) {
	sh := func(script string) program.Ended { return program.Run(t.Context(), []string{"/bin/sh", "-c", script}) }
	if e := sh(`echo out; printf '\n \033[1mfirst\tline\nsecond\n' >&2; exit 3`); string(e.Stdout) != "out\n" ||
		e.Said != "[1mfirst line" || e.Exit != 3 || e.Err != nil {
		t.Errorf("got %+v", e)
	}
	if e := sh(`cat`); e.Exit != 0 || len(e.Stdout) != 0 {
		t.Errorf("a program has input: %+v", e)
	}
	if e := program.Run(t.Context(), []string{"no-such-program-anywhere"}); e.Err == nil ||
		!strings.Contains(e.Err.Error(), "not on PATH") || e.Exit != -1 {
		t.Errorf("got %+v", e)
	}
	if e := sh(`exec head -c 5000000 /dev/zero`); len(e.Stdout) != program.MaxStdout {
		t.Errorf("%d bytes were kept, want %d", len(e.Stdout), program.MaxStdout)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if e := program.Run(ctx, []string{"/bin/sh", "-c", "sleep 600 & wait"}); !errors.Is(e.Err,
		context.DeadlineExceeded) {
		t.Errorf("got %+v", e)
	}
}

// TestLeftBehind: what a program has started ends with it, also when the program itself ended well.
func TestLeftBehind(t *testing.T) {
	e := program.Run(t.Context(), []string{"/bin/sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"})
	if e.Exit != 0 || e.Err != nil {
		t.Fatalf("got %+v", e)
	}
	file := filepath.Join("/proc", strings.TrimSpace(string(e.Stdout)), "stat")
	for alive := true; alive; {
		text, err := os.ReadFile(file)
		alive = err == nil && !strings.Contains(string(text), ") Z ") // one that nobody has asked for counts as ended
		if t.Context().Err() != nil {
			t.Fatal("it lives on")
		}
	}
}
