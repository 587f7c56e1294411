package exec_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/exec"
	"sallyport/internal/secret/storetest"
)

const canary = "canary-s3cret"

// open returns a store whose command has plenty of time, unless o says otherwise.
func open(t *testing.T, o exec.Options) *exec.Store {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	store, err := exec.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// shell runs a script, to which the path is $1.
func shell(t *testing.T, script string) *exec.Store {
	t.Helper()
	return open(t, exec.Options{
		Command: []string{"sh", "-c", script, "sh", "{path}"}, NotFound: []int{44},
		Denied: []int{33},
	})
}

// seeded prints files.
type seeded struct {
	*exec.Store
	dir string
}

func (s seeded) Seed(_ context.Context, path string, value []byte) error {
	name := filepath.Join(s.dir, path)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, append(value, '\n'), 0o600)
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) secret.Store {
		dir := t.TempDir()
		return seeded{open(t, exec.Options{Command: []string{"cat", dir + "/{path}"}, NotFound: []int{1}}), dir}
	})
}

func get(t *testing.T, store *exec.Store, path string) string {
	t.Helper()
	value, v, err := store.Get(t.Context(), path, "")
	if err != nil || v.ID != "1" || !v.Current {
		t.Fatalf("got %+v, %v (hint %q)", v, err, fault.HintOf(err))
	}
	return string(value.Reveal())
}

// TestArgumentsAreNotAShells: the path is part of an argument and nothing else, whatever is in it.
func TestArgumentsAreNotAShells(t *testing.T) {
	const path = `a b;$(id)'"*/{path}`
	store := open(t, exec.Options{Command: []string{"printf", "%s|", "{path}", "x{path}y{path}", "--", "{Path}"}})
	if got, want := get(t, store, path), path+"|x"+path+"y"+path+"|--|{Path}|"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPathsThatAreRefused(t *testing.T) {
	store := open(t, exec.Options{Command: []string{"echo", "{path}"}})
	for _, path := range []string{
		"", "-n", "--help", "a\nb", "a\x00b", "../x", "a/..", "\xff",
		strings.Repeat("x", 5000),
	} {
		if _, _, err := store.Get(t.Context(), path, ""); !errors.Is(err, secret.ErrNotFound) ||
			fault.HintOf(err) == "" {
			t.Errorf("path %q: got %v", path, err)
		}
	}
	if got := get(t, open(t, exec.Options{Command: []string{"echo", "x{path}"}}), "-n"); got != "x-n" {
		t.Errorf("got %q", got)
	}
}

func TestTheEnvironmentIsMinimal(t *testing.T) {
	environ := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nowhere", "SECRET=" + canary, "OP_TOKEN=t",
		"OP_HOST=h", "LANG=C",
	}
	for _, c := range []struct {
		environ, pass, want []string
	}{
		{environ, nil, []string{environ[0], environ[1]}},
		{environ, []string{"OP_TOKEN", "NONE"}, []string{environ[0], environ[1], environ[3]}},
		{environ, []string{"OP_*"}, []string{environ[0], environ[1], environ[3], environ[4]}},
		{[]string{"LANG=C"}, nil, nil},
	} {
		env, err := filepath.Abs("/usr/bin/env")
		if err != nil {
			t.Fatal(err)
		}
		store := open(t, exec.Options{Command: []string{env, "-u", "{path}"}, Environ: c.environ, Pass: c.pass})
		value, _, err := store.Get(t.Context(), "X", "")
		got := strings.Split(string(value.Reveal()), "\n")
		if c.want == nil {
			if !errors.Is(err, secret.ErrUnavailable) { // nothing is printed
				t.Errorf("got %q, %v for no environment at all", got, err)
			}
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("pass %q: %v %s", c.pass, err, diff)
		}
	}
}

func TestFailures(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		store      *exec.Store
		want       error
		text, hint string
	}{
		"fails":              {shell(t, "echo 'no session' >&2; exit 7"), secret.ErrUnavailable, "ends with 7", `it says "no session"`},
		"fails in silence":   {shell(t, "exit 7"), secret.ErrUnavailable, "ends with 7", "PATH, HOME"},
		"not found":          {shell(t, "exit 44"), secret.ErrNotFound, "ends with 44", "by hand"},
		"denied":             {shell(t, "exit 33"), secret.ErrDenied, "ends with 33", "by hand"},
		"no output":          {shell(t, "echo oh >&2"), secret.ErrUnavailable, "printed nothing", `it says "oh"`},
		"a line break alone": {shell(t, "echo"), secret.ErrUnavailable, "printed nothing", ""},
		"killed":             {shell(t, "kill -KILL $$"), secret.ErrUnavailable, "killed", "memory"},
		"output without end": {shell(t, "trap '' PIPE; exec yes"), secret.ErrUnavailable, "more than 1 MiB", ""},
		"a byte too much":    {shell(t, "head -c 1048577 /dev/zero"), secret.ErrUnavailable, "more than 1 MiB", ""},
		"no such program":    {open(t, exec.Options{Command: []string{"no-such-program-here", "{path}"}}), secret.ErrUnavailable, "no such program", "install"},
		"no such file":       {open(t, exec.Options{Command: []string{"/nowhere/op", "{path}"}}), secret.ErrUnavailable, "no such program", "install"},
		"not executable":     {open(t, exec.Options{Command: []string{plain, "{path}"}}), secret.ErrDenied, "cannot be run", "chmod"},
		"slow":               {open(t, exec.Options{Command: []string{"sh", "-c", "trap '' TERM; sleep 1000", "sh", "{path}"}, Timeout: 300 * time.Millisecond}), secret.ErrUnavailable, "killed after 300ms", "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := c.store.Get(t.Context(), "some/path", "")
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) ||
				!strings.Contains(fault.HintOf(err), c.hint) || fault.HintOf(err) == "" {
				t.Errorf("got %v (hint %q), want %v with %q (hint with %q)", err, fault.HintOf(err),
					c.want, c.text, c.hint)
			}
			if errors.Is(c.want, secret.ErrUnavailable) && fault.ExitOf(err) != fault.ExitStore {
				t.Errorf("exit code %d, want %d", fault.ExitOf(err), fault.ExitStore)
			}
		})
	}
}

func TestValuesAtTheLimit(t *testing.T) {
	if got := get(t, shell(t, "head -c 1048576 /dev/zero; printf '\\r\\n'"), "x"); len(got) != exec.MaxValue {
		t.Errorf("got %d bytes", len(got))
	}
	if got := get(t, shell(t, `printf 'a\000b\n\n'; head -c 100000 /dev/zero >&2`), "x"); got != "a\x00b\n" {
		t.Errorf("got %q", got)
	}
}

// TestStderrShowsNoSecret: the value, and what the command was handed, may stand in its complaint.
func TestStderrShowsNoSecret(t *testing.T) {
	for name, script := range map[string]string{
		"the value":            "printf canary-s3cret; echo 'cannot use canary-s3cret here' >&2; exit 1",
		"the token":            `echo "bad token $TOKEN" >&2; exit 1`,
		"a line of many":       `printf 'first\ncanary-s3cret\nlast\n'; echo canary-s3cret >&2; exit 1`,
		"behind the first":     `printf 'first line\n%s\n' $TOKEN >&2; exit 1`,
		"cut":                  `printf 'x %04086d %s' 0 canary-s3cretcanary-s3cret >&2; printf canary-s3cretcanary-s3cret; exit 1`,
		"with control letters": `printf '\033[31mred\033[0m\tcanary-s3cret\n' >&2; printf 'canary-s3cret\n'; exit 1`,
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t, exec.Options{
				Command: []string{"sh", "-c", script, "{path}"},
				Environ: append(os.Environ(), "TOKEN="+canary), Pass: []string{"TOKEN"},
			})
			_, _, err := store.Get(t.Context(), "x", "")
			hint := fault.HintOf(err)
			if !errors.Is(err, secret.ErrUnavailable) || strings.Contains(err.Error()+hint, "canary") ||
				strings.Contains(hint, "\x1b") || len(hint) > 1000 {
				t.Errorf("got %v, hint %q", err, hint)
			}
			if !strings.Contains(hint, "it says") {
				t.Errorf("the hint %q does not say what the command says", hint)
			}
		})
	}
}

func TestACancelledCall(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// The command, its child, and a child of that in another session's clothes hold the pipe open as long as they live.
	store := open(t,
		exec.Options{Command: []string{
			"sh", "-c",
			`exec 3>"$1"; trap '' TERM HUP INT; (trap '' TERM; sleep 1000) & echo ready >&3; sleep 1000`,
			"sh", "{path}",
		}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, _, err := store.Get(ctx, fifo, "")
		ended <- err
	}()
	f, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	alive := bufio.NewReader(f)
	if line, err := alive.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("got %v, want context.Canceled alone", err)
	}
	if rest, err := io.ReadAll(alive); err != nil || len(rest) > 0 { // ends when the last of them is dead
		t.Errorf("read %q, %v", rest, err)
	}
}

// TestWhatIsLeftBehindIsKilled: a command that ends well leaves nobody behind either.
func TestWhatIsLeftBehindIsKilled(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(fifo)
		read <- err
	}()
	if got := get(t, shell(t, `exec 3>"$1"; sleep 1000 >/dev/null 2>&1 & echo value`), fifo); got != "value" {
		t.Errorf("got %q", got)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
	_, _, err := shell(t, "sleep 1000 & echo value").Get(t.Context(), "x", "")
	if !errors.Is(err, secret.ErrUnavailable) || !strings.Contains(fault.HintOf(err), "background") {
		t.Errorf("an output that stays open: got %v (hint %q)", err, fault.HintOf(err))
	}
}

// TestSoManyAtOnce: of many calls, no more commands run than there are places.
func TestSoManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	// Each leaves a file while it runs; the third of two would see two others.
	script := `mkdir "$1.run" && ls -d ` + dir + `/*.run | wc -l && rmdir "$1.run"`
	store := open(t, exec.Options{Command: []string{"sh", "-c", script, "sh", dir + "/{path}"}, Concurrent: 2})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			value, _, err := store.Get(t.Context(), string(rune('a'+i)), "")
			if n := strings.TrimSpace(string(value.Reveal())); err != nil || (n != "1" && n != "2") {
				t.Errorf("%q commands ran at once, %v (hint %q)", n, err, fault.HintOf(err))
			}
		})
	}
	wg.Wait()
}

func TestNoTimeLeft(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	_, _, err := shell(t, "echo value").Get(ctx, "x", "")
	if !errors.Is(err, secret.ErrUnavailable) || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestNewChecksTheCommand(t *testing.T) {
	for _, command := range [][]string{
		nil,
		{},
		{""},
		{"op"},
		{"op", "read"},
		{"{path}"},
		{"{path}", "{path}"},
		{"op", "{PATH}"},
	} {
		if _, err := exec.New(exec.Options{Command: command}); err == nil || fault.HintOf(err) == "" {
			t.Errorf("%q: got %v", command, err)
		}
	}
}

var _ secret.Store = (*exec.Store)(nil)
