package process_test

import (
	"errors"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"sallyport/e2e/process"
)

func start(t *testing.T, script string) *process.Process {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "COLOUR=blue"}
	p, err := process.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(syscall.SIGKILL) })
	return p
}

func TestTreeAndWhatAProcessWasStartedWith(t *testing.T) {
	p := start(t, "cat /dev/zero >/dev/null & echo started; wait")
	t.Cleanup(func() { // before the parent goes: its child is not to outlive the test
		for _, id := range p.Tree()[1:] {
			syscall.Kill(id, syscall.SIGKILL)
		}
	})
	grown := func() bool {
		tree := p.Tree()
		return len(tree) == 2 && tree[0] == p.ID() &&
			slices.Equal(process.Arguments(tree[1]), []string{"cat", "/dev/zero"})
	}
	if err := p.Await(t.Context(), time.Minute, grown); err != nil {
		t.Fatalf("the tree of %d is %v: %v", p.ID(), p.Tree(), err)
	}
	environment, err := process.Environment(p.Tree()[1])
	if err != nil || !slices.Contains(environment, "COLOUR=blue") {
		t.Errorf("the environment is %q, %v", environment, err)
	}
	if process.Program(p.ID()) == "" || !slices.Contains(process.All(), p.ID()) {
		t.Error("the process is not to be seen")
	}
}

func TestTheEndIsToldWhileSomethingIsAwaited(t *testing.T) {
	p := start(t, "echo last words; exit 7")
	if err := p.AwaitLog(t.Context(), time.Minute, "never said"); !errors.Is(err, process.ErrExited) {
		t.Errorf("got %v, want that it has ended", err)
	}
	if code, log := p.ExitCode(), string(p.Log()); code != 7 || log != "last words\n" {
		t.Errorf("it ended with %d and said %q", code, log)
	}
}

func TestPortsAreGivenOnce(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		ports, err := process.FreePorts(3)
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range ports {
			if seen[port] {
				t.Fatalf("port %s was given twice", port)
			}
			seen[port] = true
		}
	}
}
