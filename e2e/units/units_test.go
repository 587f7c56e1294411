package units_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sallyport/e2e/process"
	"sallyport/e2e/units"
)

// TestScripts: a unit is restarted, stopped, shown and looked into by the scripts, and a command fails half-way.
func TestScripts(t *testing.T) {
	m, err := units.New(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var running *process.Process
	stop := func() {
		if running != nil {
			running.Stop(syscall.SIGKILL)
			running = nil
		}
	}
	defer func() { stop() }()
	m.Add("worker", units.Unit{
		Start: func(ctx context.Context) (err error) {
			cmd := exec.CommandContext(context.WithoutCancel(ctx), "sleep", "1000")
			cmd.Env = []string{"COLOUR=blue and green", "PATH=" + os.Getenv("PATH")}
			running, err = process.Start(cmd)
			return err
		},
		Stop: stop,
		PID: func() int {
			if running == nil {
				return 0
			}
			return running.ID()
		},
		Healthy: func(context.Context) bool { return true },
	})
	run := func(want int, argv ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		out, _ := cmd.Output()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%q ended with %d, want %d: %s", argv, got, want, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := run(3, m.Control, "status", "worker"); got != "inactive" {
		t.Errorf("before its start the unit is %q", got)
	}
	run(0, m.Control, "start", "worker")
	first := run(0, m.Control, "status", "worker")
	if first != strconv.Itoa(running.ID()) {
		t.Errorf("the status is %q, and the process is %d", first, running.ID())
	}
	got := run(0, m.Inside, "worker", "/usr/bin/env")
	if !slices.Contains(strings.Split(got, "\n"), "COLOUR=blue and green") || strings.Contains(got, "HOME=") {
		t.Errorf("inside the unit the environment is %q", got)
	}
	run(0, m.Control, "restart", "worker")
	if again := run(0, m.Control, "status", "worker"); again == first || again == "" {
		t.Errorf("after a restart the status is %q, as before", again)
	}
	m.Fail("restart", "worker")
	if err := exec.CommandContext(t.Context(), m.Control, "restart", "worker").Run(); err == nil || running != nil {
		t.Errorf("a restart that fails half-way ended with %v, and the unit runs: %v", err, running != nil)
	}
	run(0, m.Control, "restart", "worker")
	want := []string{"start worker", "restart worker", "restart worker", "restart worker"}
	if got := m.Calls(); !slices.Equal(got, want) {
		t.Errorf("the calls were %q, want %q", got, want)
	}
}
