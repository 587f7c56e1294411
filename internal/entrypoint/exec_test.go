package entrypoint_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// both runs a test with the program in the entrypoint's place, and below it.
func both(t *testing.T, test func(t *testing.T, supervise bool)) {
	t.Helper()
	t.Run("in its place", func(t *testing.T) { test(t, false) })
	t.Run("supervised", func(t *testing.T) { test(t, true) })
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	inFolder := filepath.Join(write("plain", "x", 0o600), "x")
	both(t, func(t *testing.T, supervise bool) {
		for name, c := range map[string]struct {
			argv []string
			exit int
			want string
		}{
			"0":                         {[]string{"role:exit", "0"}, 0, ""},
			"7":                         {[]string{"role:exit", "7"}, 7, ""},
			"255":                       {[]string{"role:exit", "255"}, 255, ""},
			"a name in PATH":            {[]string{"sh", "-c", "exit 3"}, 3, ""},
			"nothing":                   {nil, 2, "there is no program to run"},
			"no such name":              {[]string{"sallyport-no-such-program"}, 127, "there is no such program"},
			"no such file":              {[]string{"/no/such/program"}, 127, "there is no such program"},
			"a file is no folder":       {[]string{inFolder}, 127, "there is no such program"},
			"not executable":            {[]string{write("plain2", "#!/bin/sh\n", 0o600)}, 126, "may not be executed"},
			"a folder":                  {[]string{dir}, 126, "it is a folder"},
			"no program":                {[]string{write("text", "hello", 0o700)}, 126, "no program of this system"},
			"an interpreter is missing": {[]string{write("script", "#!/no/such/shell\n", 0o700)}, 127, "what interprets it is not"},
		} {
			t.Run(name, func(t *testing.T) {
				s := scene{argv: c.argv}
				s.Options.Supervise = supervise
				p := start(t, s)
				p.ends(c.exit)
				p.wants(c.want)
				if c.want != "" && strings.HasSuffix(p.stderr.String(), "hint: \n") {
					t.Error("there is no hint")
				}
			})
		}
	})
}

func TestNotExecutableInPath(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, scene{argv: []string{"tool"}, before: []string{"env", "PATH=" + dir + ":/usr/bin:/bin"}})
	p.ends(126)
	p.wants("may not be executed")
}

// TestNothingIsAskedForAProgramThatIsNotThere: a typo shows at once, whatever the stores are doing.
func TestNothingIsAskedForAProgramThatIsNotThere(t *testing.T) {
	p := start(t, scene{
		argv: []string{"/no/such/program"}, environ: []string{"A=ref+corp://a"},
		answers: map[string]answer{"ref+corp://a": {Hang: true}},
	})
	p.ends(127)
}

// TestSignalsWhileResolving end it at once, with the signal's exit code, although the store hangs.
func TestSignalsWhileResolving(t *testing.T) {
	both(t, func(t *testing.T, supervise bool) {
		for sig, exit := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130, syscall.SIGHUP: 129} {
			s := scene{
				argv: []string{"role:dump"}, environ: []string{"A=ref+corp://a"},
				answers: map[string]answer{"ref+corp://a": {Hang: true}},
			}
			s.Options.Supervise = supervise
			p := start(t, s)
			p.says("resolving 1")
			p.signal(sig)
			if out := p.ends(exit); out != "" {
				t.Errorf("the program was started: %s", out)
			}
			p.wants("ended by a signal (" + sig.String() + ") before the program was started")
		}
	})
}

func TestTimeLimit(t *testing.T) {
	s := scene{
		argv: []string{"role:dump"}, environ: []string{"A=ref+corp://a"},
		answers: map[string]answer{"ref+corp://a": {Delay: true}},
	}
	s.Options.Timeout = 10 * time.Millisecond
	p := start(t, s)
	p.ends(10)
	p.wants("the stores have not answered in time", "hint: `--timeout`")
}

// TestKilledProgram: 128 and the signal's number, which is what a shell makes of an entrypoint that was itself killed.
func TestKilledProgram(t *testing.T) {
	s := scene{argv: []string{"role:killed"}}
	s.Options.Supervise = true
	start(t, s).ends(137)
	s.Options.Supervise = false
	p := start(t, s)
	p.ends(-1)
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("got %v", p.cmd.ProcessState)
	}
}

// TestSignalsAfterReplacing: nothing of the entrypoint is left, neither a handler nor a mask.
func TestSignalsAfterReplacing(t *testing.T) {
	p := start(t, scene{
		argv: []string{"role:wait", "terminated", "5"}, environ: []string{"VALUE=ref+corp://a"},
		answers: map[string]answer{"ref+corp://a": text("one")},
	})
	p.expect("up one")
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGINT} {
		p.signal(sig)
		p.expect(sig.String())
	}
	p.signal(syscall.SIGTERM)
	p.ends(5)
	p = start(t, scene{argv: []string{"sh", "-c", "echo up; exec sleep 1000"}})
	p.expect("up")
	p.signal(syscall.SIGTERM)
	p.ends(-1)
}
