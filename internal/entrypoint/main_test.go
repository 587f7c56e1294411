package entrypoint_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/entrypoint"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// The test binary is the entrypoint, and the programs that it starts: what it is says its first argument.
var roles = map[string]func(args []string) int{
	"role:run":      func(args []string) int { return run(args[0], args[1:]) },
	"role:dump":     dump,
	"role:exit":     func(args []string) int { n, _ := strconv.Atoi(args[0]); return n },
	"role:wait":     wait,
	"role:stubborn": stubborn,
	"role:orphan":   orphan,
	"role:peek":     peek,
	"role:echo":     func(args []string) int { fmt.Print(os.Getenv(args[0])); return 0 },
	"role:killed": func([]string) int {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
		return 1
	},
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if role := roles[os.Args[1]]; role != nil {
			os.Exit(role(os.Args[2:]))
		}
	}
	// Whoever runs the tests may ignore SIGHUP, as nohup does. What a process handles, its children have as by default.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(m.Run())
}

// setup is what the entrypoint is to do; it travels in an argument.
type setup struct {
	Answers   string // a file with answers
	News      string // a FIFO: a byte in it is a change
	Subreaper bool
	Mask      bool
	Options   entrypoint.Options
}

// answer is what the resolver has for a reference.
type answer struct {
	Value       []byte
	Err         string // unavailable, denied or missing
	Hang, Delay bool   // whatever ctx says; until ctx ends
	Panic       bool
}

// run is the entrypoint, as the command line has it.
func run(arg string, argv []string) int {
	var s setup
	if err := gob.NewDecoder(base64.NewDecoder(base64.StdEncoding, strings.NewReader(arg))).Decode(&s); err != nil {
		panic(err)
	}
	if s.Subreaper {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, 36 /* PR_SET_CHILD_SUBREAPER */, 1, 0); errno != 0 {
			panic(errno)
		}
	}
	o := s.Options
	o.Argv, o.Environ, o.Resolver = argv, os.Environ(), &fake{s}
	o.Stdin, o.Stdout, o.Stderr = os.Stdin, os.Stdout, os.Stderr
	o.Note = func(format string, args ...any) { fmt.Fprintf(os.Stderr, "note: "+format+"\n", args...) }
	if s.Mask {
		o.Mask = func(held []secret.Value) func(io.Writer) io.WriteCloser {
			return func(w io.Writer) io.WriteCloser { return &upper{held, w} }
		}
	}
	err := entrypoint.Run(context.Background(), o)
	var end *entrypoint.ExitError
	if errors.As(err, &end) && end.Why == "" {
		return end.Code
	}
	fmt.Fprintf(os.Stderr, "error: %v\nhint: %s\n", err, fault.HintOf(err))
	if end != nil {
		return end.Code
	}
	return int(fault.ExitOf(err))
}

// upper is a mask that a test can see through: it replaces held values, one Write at a time.
type upper struct {
	held []secret.Value
	w    io.Writer
}

func (u *upper) Write(p []byte) (int, error) {
	masked := p
	for _, v := range u.held {
		masked = bytes.ReplaceAll(masked, v.Reveal(), []byte("***"))
	}
	_, err := u.w.Write(masked)
	return len(p), err
}

func (u *upper) Close() error { _, err := io.WriteString(u.w, "closed\n"); return err }

// fake answers from a file.
type fake struct{ setup }

func (f *fake) Resolve(ctx context.Context, refs []secret.Ref) ([]secret.Result, error) {
	raw, err := os.ReadFile(f.Answers)
	if err != nil {
		panic(err)
	}
	var answers map[string]answer
	if err := json.Unmarshal(raw, &answers); err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stderr, "resolving %d\n", len(refs))
	results := make([]secret.Result, len(refs))
	for i, ref := range refs {
		a := answers[ref.String()]
		switch {
		case a.Hang:
			select {}
		case a.Panic:
			panic(string(a.Value))
		case a.Delay:
			<-ctx.Done()
			return nil, ctx.Err()
		case a.Err != "":
			sentinel := map[string]error{
				"unavailable": secret.ErrUnavailable, "denied": secret.ErrDenied,
				"missing": secret.ErrNotFound,
			}[a.Err]
			results[i].Err = fault.WithHint(fmt.Errorf("reading secret %q: %w", ref.Path, sentinel),
				"remedy for "+ref.Path)
		default:
			results[i].Value = secret.NewValue(a.Value)
		}
	}
	return results, nil
}

func (f *fake) Watch(ctx context.Context, _ []secret.Ref, changed func()) error {
	if f.News == "" {
		return errors.New("this store cannot be watched")
	}
	fifo, err := os.OpenFile(f.News, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	go func() {
		for b := make([]byte, 1); ; changed() {
			if _, err := fifo.Read(b); err != nil {
				return
			}
		}
	}()
	<-ctx.Done()
	return nil
}

// dump tells what a program was started with.
func dump(args []string) int {
	parent, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", os.Getppid()))
	_ = json.NewEncoder(os.Stdout).Encode(dumped{os.Environ(), args, os.Getpid(), os.Getppid(), string(parent)})
	return 0
}

type dumped struct {
	Environ, Args []string
	PID, PPID     int
	Parent        string
}

func (d dumped) lookup(name string) string {
	for _, entry := range d.Environ {
		if n, v, _ := strings.Cut(entry, "="); n == name {
			return v
		}
	}
	return "(unset)"
}

// wait tells its value, then every signal, and ends by the one that its arguments name, with the code behind it.
func wait(args []string) int {
	signals := make(chan os.Signal, 32)
	signal.Notify(signals)
	fmt.Println("up", os.Getenv("VALUE"))
	for sig := range signals {
		if sig == syscall.SIGURG {
			continue
		}
		fmt.Println(sig)
		if len(args) > 1 && sig.String() == args[0] {
			n, _ := strconv.Atoi(args[1])
			return n
		}
	}
	return 0
}

// stubborn ignores TERM.
func stubborn([]string) int {
	signal.Ignore(syscall.SIGTERM)
	fmt.Println("up", os.Getenv("VALUE"))
	for { // select {} is a deadlock for the runtime of a program without cgo
		time.Sleep(time.Hour)
	}
}

// orphan makes a process without parent, and waits until nothing of it is left.
func orphan([]string) int {
	out, err := exec.Command("sh", "-c", "sleep 0.05 >/dev/null & echo $!").Output()
	if err != nil {
		panic(err)
	}
	stat := "/proc/" + strings.TrimSpace(string(out)) + "/stat"
	for {
		if _, err := os.Stat(stat); err != nil {
			fmt.Println("gone")
			return 0
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// peek tries to read its parent's environment.
func peek([]string) int {
	_, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", os.Getppid()))
	fmt.Println(errors.Is(err, os.ErrPermission), err)
	return 0
}

// process is an entrypoint that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string
	stderr *buffer
	news   string
	path   string // of the answers
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// scene is what a test starts.
type scene struct {
	setup
	answers map[string]answer
	environ []string
	argv    []string
	program string   // default: the test binary
	before  []string // what runs the entrypoint
	adjust  func(*exec.Cmd)
}

func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// start starts an entrypoint in an empty folder, with an environment that has nothing but what the scene says.
func start(t *testing.T, s scene) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{t: t, path: dir + "/answers", stderr: new(buffer), lines: make(chan string, 1000)}
	p.answer(s.answers)
	s.Answers = p.path
	if s.Options.Watch {
		p.news = dir + "/news"
		if err := syscall.Mkfifo(p.news, 0o600); err != nil {
			t.Fatal(err)
		}
		s.News = p.news
	}
	var arg bytes.Buffer
	if err := gob.NewEncoder(&arg).Encode(s.setup); err != nil { // gob leaves out what is a function
		t.Fatal(err)
	}
	program := s.program
	if program == "" {
		program = self(t)
	}
	argv := s.argv
	if len(argv) > 0 && strings.HasPrefix(argv[0], "role:") {
		argv = append([]string{program}, argv...)
	}
	all := append(append(slices.Clip(s.before), program, "role:run", base64.StdEncoding.EncodeToString(arg.Bytes())),
		argv...)
	p.cmd = exec.Command(all[0], all[1:]...)
	p.cmd.Env = append([]string{
		"HOME=" + dir, "TMPDIR=" + dir, "PATH=" + os.Getenv("PATH"),
		"GORACE=atexit_sleep_ms=0",
	}, s.environ...)
	p.cmd.Dir, p.cmd.Stderr = dir, p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.adjust != nil {
		s.adjust(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			killBelow(p.cmd.Process.Pid)
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	return p
}

// killBelow kills the process groups of a process's children.
func killBelow(parent int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, _ := os.ReadFile(name)
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
	}
}

// answer says what the resolver has from now on.
func (p *process) answer(answers map[string]answer) {
	p.t.Helper()
	raw, err := json.Marshal(answers)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.path+".new", raw, 0o644); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(p.path+".new", p.path); err != nil {
		p.t.Fatal(err)
	}
}

// change says it, and has the resolver tell of it.
func (p *process) change(answers map[string]answer) {
	p.t.Helper()
	p.answer(answers)
	fifo, err := os.OpenFile(p.news, os.O_RDWR, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	defer fifo.Close()
	if _, err := fifo.Write([]byte{1}); err != nil {
		p.t.Fatal(err)
	}
}

// expect wants the program's next line.
func (p *process) expect(want string) {
	p.t.Helper()
	if got, ok := <-p.lines; got != want || !ok {
		p.t.Fatalf("the next line is %q (%t), want %q\nstderr:\n%s", got, ok, want, p.stderr)
	}
}

// says waits until a text stands in standard error.
func (p *process) says(want string) {
	p.t.Helper()
	for !strings.Contains(p.stderr.String(), want) {
		if p.t.Context().Err() != nil {
			p.t.Fatalf("%q is not in:\n%s", want, p.stderr)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// ends wants the exit code, and returns what else was written to standard output.
func (p *process) ends(want int) string {
	p.t.Helper()
	var rest []string
	for line := range p.lines {
		rest = append(rest, line)
	}
	_ = p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Fatalf("the exit code is %d (%v), want %d\nstdout:\n%s\nstderr:\n%s", got, p.cmd.ProcessState, want,
			strings.Join(rest, "\n"), p.stderr)
	}
	return strings.Join(rest, "\n")
}

// dumps runs a scene with role:dump to its end.
func dumps(t *testing.T, s scene) (dumped, *process) {
	t.Helper()
	s.argv = append([]string{"role:dump"}, s.argv...)
	p := start(t, s)
	var d dumped
	if out := p.ends(0); json.Unmarshal([]byte(out), &d) != nil {
		t.Fatalf("not a dump: %q", out)
	}
	return d, p
}

// wants looks for texts in standard error.
func (p *process) wants(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.stderr.String(), text) {
			p.t.Errorf("%q is not in:\n%s", text, p.stderr)
		}
	}
}
