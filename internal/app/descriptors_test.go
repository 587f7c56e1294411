package app_test

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

// TestDescriptors: a start raises the limit of open files to what in_flight needs, and says so where it cannot.
func TestDescriptors(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) }()
	low := before
	low.Cur = 256
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		inFlight int
		want     uint64 // at least; 0: it cannot be reached
	}{{50, 256}, {200, 500}, {1 << 40, 0}} {
		var log bytes.Buffer
		got := app.RaiseDescriptors(t.Context(), &config.Config{Limits: config.GateLimits{InFlight: c.inFlight}},
			slog.New(slog.NewTextHandler(&log, nil)))
		if got < c.want || got == 0 {
			t.Errorf("in_flight %d: %d may be opened, want %d", c.inFlight, got, c.want)
		}
		if warned := strings.Contains(log.String(), "too few open files"); warned != (c.want == 0) {
			t.Errorf("in_flight %d: warned is %v: %s", c.inFlight, warned, log.String())
		}
	}
}
