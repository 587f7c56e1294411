package entrypoint_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/testkit"
)

// supervised is a scene with a value that can change.
func supervised(argv ...string) scene {
	s := scene{argv: argv, environ: []string{"VALUE=ref+corp://a", "OTHER=ref+corp://b"}, answers: values("one")}
	s.Options.Supervise, s.Options.Watch, s.Options.Grace = true, true, time.Hour
	return s
}

func values(v string) map[string]answer {
	return map[string]answer{"ref+corp://a": text(v), "ref+corp://b": text("other")}
}

func TestPassesSignalsOn(t *testing.T) {
	p := start(t, supervised("role:wait", "terminated", "9"))
	p.expect("up one")
	for _, sig := range []syscall.Signal{
		syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGWINCH,
		syscall.SIGINT, syscall.SIGQUIT, syscall.SIGCONT,
	} {
		p.signal(sig)
		p.expect(sig.String())
	}
	p.signal(syscall.SIGTERM)
	p.expect("terminated")
	if rest := p.ends(9); rest != "" {
		t.Errorf("and then: %q", rest)
	}
}

// TestStandardInputIsTheProgramsOwn.
func TestStandardInputIsTheProgramsOwn(t *testing.T) {
	s := supervised("cat")
	var in io.WriteCloser
	s.adjust = func(cmd *exec.Cmd) {
		var err error
		if in, err = cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, s)
	fmt.Fprintln(in, "hello")
	p.expect("hello")
	in.Close()
	p.ends(0)
}

func TestRestartsWhenAValueChanges(t *testing.T) {
	p := start(t, supervised("role:wait", "terminated", "0"))
	p.expect("up one")
	for _, value := range []string{"two", "three"} {
		p.change(values(value))
		p.expect("terminated")
		p.expect("up " + value)
	}
	p.wants("note: a secret has changed: restarting")
	p.signal(syscall.SIGTERM)
	p.expect("terminated")
	p.ends(0)
}

// TestGoesOnUntilAllCanBeHad: a store that fails, or a value that is refused, does not end what runs.
func TestGoesOnUntilAllCanBeHad(t *testing.T) {
	p := start(t, supervised("role:wait", "terminated", "0"))
	p.expect("up one")
	half := values("two")
	half["ref+corp://b"] = answer{Err: "unavailable"}
	p.change(half)
	p.says(
		`goes on with the values that it has, since not all of the new ones can be obtained: OTHER: resolving ref+corp://b from store "corp"`)
	p.signal(syscall.SIGUSR1)
	p.expect("user defined signal 1")
	p.answer(values("three")) // the next attempt comes by itself
	p.expect("terminated")
	p.expect("up three")
	if n := strings.Count(p.stderr.String(), "restarting"); n != 1 {
		t.Errorf("%d restarts", n)
	}
}

// TestDoesNotRestartWithNothing: a file that is being written is empty for a moment.
func TestDoesNotRestartWithNothing(t *testing.T) {
	p := start(t, supervised("role:wait", "terminated", "0"))
	p.expect("up one")
	p.change(values(""))
	p.says("goes on with the values that it has, since not all of the new ones can be obtained: the value of VALUE " +
		"has become empty")
	p.change(values("two"))
	p.expect("terminated")
	p.expect("up two")
	p.signal(syscall.SIGTERM)
	p.expect("terminated")
	p.ends(0)
}

// TestDoesNotRestartForTheSameValues: a change that turns out to be none.
func TestDoesNotRestartForTheSameValues(t *testing.T) {
	p := start(t, supervised("role:wait", "terminated", "0"))
	p.expect("up one")
	p.change(values("one"))
	for strings.Count(p.stderr.String(), "resolving 2") < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	p.change(values("two"))
	p.expect("terminated")
	p.expect("up two")
}

// TestKillsWhatIgnoresTerm, and what it has started, when the time is over.
func TestKillsWhatIgnoresTerm(t *testing.T) {
	s := supervised("sh", "-c", `sleep 1000 >/dev/null 2>&1 & echo "pid $!"; exec "$0" role:stubborn`, self(t))
	s.Options.Grace = 20 * time.Millisecond
	p := start(t, s)
	left := p.started()
	p.expect("up one")
	p.change(values("two"))
	p.started()
	p.expect("up two")
	p.wants("has not ended within 20ms of TERM; killing it")
	untilDead(left)
	p.signal(syscall.SIGTERM) // the program ignores it, and how long it may is not this process's affair
	p.signal(syscall.SIGHUP)
	p.ends(129)
}

// TestClearsUpBeforeARestart: what the program leaves behind could hold on to its ports.
func TestClearsUpBeforeARestart(t *testing.T) {
	p := start(t,
		supervised("sh", "-c", `sleep 1000 >/dev/null 2>&1 & echo "pid $!"; exec "$0" role:wait terminated 0`, self(t)))
	left := p.started()
	p.expect("up one")
	p.change(values("two"))
	p.expect("terminated")
	p.started()
	p.expect("up two")
	untilDead(left)
}

// untilDead waits for the end of a process that has been killed.
func untilDead(pid string) {
	for {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestKeepsTheRuntimesSignals: SIGURG is how the Go runtime preempts, and means nothing to the program.
func TestKeepsTheRuntimesSignals(t *testing.T) {
	p := start(t,
		supervised("sh", "-c",
			`trap "echo urg" URG; trap "echo usr1" USR1; trap "echo term; exit 0" TERM; echo up; while :; do sleep 0.02; done`))
	p.expect("up")
	p.signal(syscall.SIGURG)
	p.signal(syscall.SIGUSR1)
	p.expect("usr1")
	p.signal(syscall.SIGTERM)
	if rest := p.ends(0); rest != "term" {
		t.Errorf("got %q", rest)
	}
}

// started reads the process id of what the program has started, which does not outlive the test.
func (p *process) started() (pid string) {
	p.t.Helper()
	line := <-p.lines
	pid, ok := strings.CutPrefix(line, "pid ")
	n, err := strconv.Atoi(pid)
	if !ok || err != nil {
		p.t.Fatalf("the next line is %q, want a process id", line)
	}
	p.t.Cleanup(func() { _ = syscall.Kill(n, syscall.SIGKILL) })
	return pid
}

// TestTermDuringARestart: the program is not started again.
func TestTermDuringARestart(t *testing.T) {
	p := start(t, supervised("role:wait", "interrupt", "4"))
	p.expect("up one")
	p.change(values("two"))
	p.expect("terminated") // which it does not end by
	p.signal(syscall.SIGTERM)
	p.expect("terminated")
	p.signal(syscall.SIGINT)
	p.expect("interrupt")
	if rest := p.ends(4); rest != "" {
		t.Errorf("it was started again: %q", rest)
	}
}

// TestTheProgramsOwnEndIsTheEnd also while changes are looked for.
func TestTheProgramsOwnEndIsTheEnd(t *testing.T) {
	s := supervised("role:wait", "user defined signal 1", "6")
	s.Options.Splay = time.Hour
	p := start(t, s)
	p.expect("up one")
	p.change(values("two"))
	p.signal(syscall.SIGUSR1)
	p.expect("user defined signal 1")
	p.ends(6)
}

func TestUnwatchableStore(t *testing.T) {
	s := supervised("role:wait", "terminated", "0")
	s.Options.Watch = false
	p := start(t, s)
	p.expect("up one")
	p.signal(syscall.SIGTERM)
	p.expect("terminated")
	p.ends(0)
	if strings.Contains(p.stderr.String(), "heard of") {
		t.Errorf("it was watched:\n%s", p.stderr)
	}
}

// TestFilesAreLookedAt: NAME_FILE variables have no store that could tell.
func TestFilesAreLookedAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "value")
	write := func(content string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path+".new", []byte(content), 0o600),
			os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	s := scene{argv: []string{"role:wait", "terminated", "0"}, environ: []string{"VALUE_FILE=" + path}}
	s.Options.Watch, s.Options.Grace, s.Options.Poll, s.Options.Files.Names = true, time.Hour,
		5*time.Millisecond, []string{"VALUE"}
	p := start(t, s)
	p.expect("up one")
	write("two\n")
	p.expect("terminated")
	p.expect("up two")
}

func TestMask(t *testing.T) {
	s := scene{
		environ: []string{"VALUE=ref+corp://a"},
		answers: map[string]answer{"ref+corp://a": text("hidden-value")},
	}
	s.Mask = true
	s.argv = []string{"sh", "-c", `echo "out $VALUE"; echo "err $VALUE" >&2`}
	p := start(t, s)
	if out := p.ends(0); out != "out ***\nclosed" {
		t.Errorf("got %q", out)
	}
	p.wants("err ***\n", "closed\n")
}

// TestOrphansAreClearedAway, as a subreaper and as process 1.
func TestOrphansAreClearedAway(t *testing.T) {
	s := scene{argv: []string{"role:orphan"}}
	s.Options.Supervise, s.Options.Reap = true, 20*time.Millisecond
	t.Run("subreaper", func(t *testing.T) {
		s.Subreaper = true
		if out := start(t, s).ends(0); out != "gone" {
			t.Errorf("got %q", out)
		}
	})
	t.Run("process 1", func(t *testing.T) {
		s.Subreaper, s.before = false, processOne(t)
		if out := start(t, s).ends(0); out != "gone" {
			t.Errorf("got %q", out)
		}
		s.argv = []string{"role:dump"}
		if d, _ := dumps(t, scene{setup: s.setup, before: s.before}); d.PPID != 1 {
			t.Errorf("the entrypoint was process %d", d.PPID)
		}
	})
}

// processOne is the command that runs another as process 1. Who is not root needs user namespaces, which not every
// system has.
func processOne(t *testing.T) []string {
	t.Helper()
	command := []string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"}
	if os.Getuid() != 0 {
		command = append(command, "--user", "--map-root-user")
	}
	if out, err := exec.Command(command[0], append(command[1:], "true")...).CombinedOutput(); err != nil {
		testkit.RequireTool(t, "a PID namespace for this user", false, fmt.Sprintf("%v: %s", err, out))
	}
	return command
}

// TestTheProgramCannotLookBack: the stores' credentials are in this process's environment, and the program runs as the
// same user.
func TestTheProgramCannotLookBack(t *testing.T) {
	s := scene{argv: []string{"role:peek"}, environ: []string{"VAULT_TOKEN=x"}}
	s.Options.Supervise = true
	if os.Getuid() == 0 { // who could look at anything
		s.program = copySelf(t)
		s.adjust = func(cmd *exec.Cmd) {
			if err := chmodAll(cmd.Dir); err != nil {
				t.Fatal(err)
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
	}
	if out := start(t, s).ends(0); !strings.HasPrefix(out, "true ") {
		t.Errorf("got %q", out)
	}
}

// copySelf puts the test binary where another user can run it.
func copySelf(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "self")
	binary, err := os.ReadFile(self(t))
	if err == nil {
		err = errors.Join(os.WriteFile(path, binary, 0o755), chmodAll(filepath.Dir(path)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// chmodAll opens a test's folder, and the one above it that t.TempDir makes.
func chmodAll(dir string) error {
	return errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755))
}
