package cli_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// restarting is a fleet of kind command whose units count their restarts.
type restarting struct {
	t    *testing.T
	home string
}

func newRestarting(t *testing.T, units ...string) *restarting {
	t.Helper()
	r := &restarting{t, t.TempDir()}
	write(t, filepath.Join(r.home, "restart"),
		"#!/bin/sh\necho $(($(cat $1.n) + 1)) >$1.new && mv $1.new $1.n\n", 0o700)
	write(t, filepath.Join(r.home, "status"), "#!/bin/sh\ncat $1.n\n", 0o700)
	if out, exit := r.run("init"); exit != 0 {
		t.Fatal(out)
	}
	content, err := os.ReadFile(filepath.Join(r.home, "sallyport.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	fleet := "\nfleets:\n  prod:\n    kind: command\n    settle: 1s\n    timeout: 1m\n    units:\n"
	for _, unit := range units {
		write(t, filepath.Join(r.home, unit+".n"), "0\n", 0o600)
		fleet += fmt.Sprintf("      - {name: %[1]s, restart: [./restart, %[1]s], status: [./status, %[1]s]}\n", unit)
	}
	write(t, filepath.Join(r.home, "sallyport.yaml"), string(content)+fleet, 0o600)
	return r
}

func (r *restarting) command(args ...string) *exec.Cmd {
	cmd := exec.Command("sallyport", args...)
	cmd.Dir, cmd.Env = r.home, append(os.Environ(), "HOME="+r.home)
	return cmd
}

func (r *restarting) run(args ...string) (out string, exit int) {
	r.t.Helper()
	cmd := r.command(args...)
	said, err := cmd.CombinedOutput()
	if ended := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ended) {
		r.t.Fatal(err)
	}
	return string(said), cmd.ProcessState.ExitCode()
}

// until runs a command, sends it a signal after its nth line, and returns how it ended. ended: it came to its end
// before.
func (r *restarting) until(line int, with syscall.Signal, args ...string) (ended bool, state *os.ProcessState) {
	r.t.Helper()
	cmd := r.command(args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for n := 1; lines.Scan(); n++ {
		if n == line {
			_ = cmd.Process.Signal(with)
		}
		ended = n < line
	}
	_ = cmd.Wait()
	return ended, cmd.ProcessState
}

// count is how often a unit was restarted.
func (r *restarting) count(unit string) string {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join(r.home, unit+".n"))
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}

// TestFleetRestartEndedAnywhere ends the command after each line that it prints, as the kernel does (kill -9) and as a
// person does (Ctrl-C), and goes on: every unit was restarted once in the end.
func TestFleetRestartEndedAnywhere(t *testing.T) {
	t.Parallel()
	for _, with := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		t.Run(with.String(), func(t *testing.T) {
			t.Parallel()
			for line := 1; ; line++ {
				r := newRestarting(t, "worker", "main")
				ended, state := r.until(line, with, "fleet", "restart", "prod")
				if ended {
					if line < 8 {
						t.Errorf("only %d lines were tried", line)
					}
					return
				}
				if code := state.ExitCode(); with == syscall.SIGINT && code != 130 && code != 0 {
					t.Errorf("after line %d Ctrl-C ends it with %d", line, code)
				}
				out, exit := r.run("fleet", "restart", "prod", "--resume")
				if done := strings.Contains(out, "no unfinished restart"); exit != 0 && !done {
					t.Fatalf("after line %d going on ends with %d:\n%s", line, exit, out)
				}
				if r.count("worker") != "1" || r.count("main") != "1" {
					t.Errorf("after line %d: worker was restarted %s times, main %s", line, r.count("worker"),
						r.count("main"))
				}
			}
		})
	}
}

// TestTwoPeopleRestart: while one restarts a fleet, another who does is told, and changes nothing.
func TestTwoPeopleRestart(t *testing.T) {
	t.Parallel()
	r := newRestarting(t, "worker", "main")
	cmd := r.command("fleet", "restart", "prod")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), "worker: settling") {
	}
	for _, args := range [][]string{nil, {"--resume"}, {"--rollback"}} {
		out, exit := r.run(append([]string{"fleet", "restart", "prod"}, args...)...)
		if exit != 11 || !strings.Contains(out, "another process restarts this fleet") ||
			!strings.Contains(out, "fleet status prod") {
			t.Errorf("the second with %q ends with %d:\n%s", args, exit, out)
		}
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil || r.count("worker") != "1" || r.count("main") != "1" {
		t.Errorf("the first ends with %v after %s and %s restarts", err, r.count("worker"), r.count("main"))
	}
}
