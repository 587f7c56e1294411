package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/bench/proxy"
)

// What a configuration of 10,000 services and tokens may take.
const (
	commandAim = time.Second
	reloadAim  = 2 * time.Second
	memoryAim  = 300 << 20
	perFile    = 10 // services, and as many tokens, in each file of services.d
)

// configuration measures a large configuration: commands with and without a gate that runs, start, reload and memory.
func configuration(ctx context.Context) (err error) {
	count, err := strconv.Atoi(setting("BENCH_SERVICES", "10000"))
	if err != nil || count < 1 {
		return fmt.Errorf("reading BENCH_SERVICES: want a number of at least 1: %w", err)
	}
	binary, err := filepath.Abs(setting("BENCH_GATE", "bin/sallyport"))
	if err != nil {
		return fmt.Errorf("finding the gate's binary: %w", err)
	}
	dir, err := os.MkdirTemp("", "sallyport-bench-")
	if err != nil {
		return fmt.Errorf("making a temporary directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	g := &largeGate{dir: dir, binary: binary}
	if err := g.write(count); err != nil {
		return err
	}
	report("%d services and tokens in %d files (%s)\n", count, (count+perFile-1)/perFile, machine())
	return g.measure(ctx)
}

// largeGate is a gate with a large configuration.
type largeGate struct{ dir, binary string }

func (g *largeGate) main() string { return filepath.Join(g.dir, "sallyport.yaml") }

// write makes the main file and the files of services.d.
func (g *largeGate) write(count int) error {
	folder := filepath.Join(g.dir, "services.d")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("making the configuration: %w", err)
	}
	head := "listen: {gateway: \"127.0.0.1:0\", admin: \"127.0.0.1:0\"}\ndata: ./data\n"
	if err := os.WriteFile(g.main(), []byte(head), 0o600); err != nil {
		return fmt.Errorf("making the configuration: %w", err)
	}
	for first := 0; first < count; first += perFile {
		name := filepath.Join(folder, fmt.Sprintf("%05d.yaml", first))
		if err := os.WriteFile(name, []byte(dropIn(first, min(first+perFile, count))), 0o600); err != nil {
			return fmt.Errorf("making the configuration: %w", err)
		}
	}
	return nil
}

// dropIn is a file with the services and tokens from first to before end: each second one by a preset, as people write
// them.
func dropIn(first, end int) string {
	var services, tokens strings.Builder
	for i := first; i < end; i++ {
		if i%2 == 0 {
			fmt.Fprintf(&services, "  s%d: {preset: openai, secret: \"ref+builtin://shared\"}\n", i)
		} else {
			fmt.Fprintf(&services,
				"  s%d:\n    upstream: https://api%d.example.com/v1\n    credential: {kind: header, header: "+
					"X-API-Key, secret: \"ref+builtin://shared\"}\n    allow: [\"GET /items/**\", \"POST /items\"]\n",
				i, i)
		}
		fmt.Fprintf(&tokens, "  t%d: {services: [s%d], expires: 90d}\n", i, i)
	}
	return "services:\n" + services.String() + "tokens:\n" + tokens.String()
}

func (g *largeGate) measure(ctx context.Context) error {
	steps := []struct {
		what, stdin string
		aim         time.Duration
		args        []string
	}{
		{"config check", "", commandAim, []string{"config", "check"}},
		{"secret set", "bench-secret-value", commandAim, []string{"secret", "set", "shared"}},
		{"token issue", "", commandAim, []string{"token", "issue", "t1"}},
		{"token list", "", commandAim, []string{"token", "list"}},
		{"token rotate", "", commandAim, []string{"token", "rotate", "t1"}},
		{"audit verify", "", commandAim, []string{"audit", "verify"}},
	}
	if _, err := g.call(ctx, "", "init", "--data", filepath.Join(g.dir, "data")); err != nil {
		return err
	}
	report("without a gate:\n")
	for _, s := range steps {
		if err := g.timed(ctx, s.what, s.stdin, s.aim, s.args...); err != nil {
			return err
		}
	}
	return g.besides(ctx)
}

// besides measures the gate, and the commands beside it.
func (g *largeGate) besides(ctx context.Context) (err error) {
	began := time.Now()
	gate, err := g.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gate.stop()) }()
	if err := gate.await("msg=serving"); err != nil {
		return err
	}
	report("with a gate:\n")
	verdict("start", time.Since(began), 0)
	if err := g.memory("memory after the start", gate.cmd.Process.Pid); err != nil {
		return err
	}
	if err := g.timed(ctx, "secret set", "bench-secret-other", commandAim, "secret", "set", "shared"); err != nil {
		return err
	}
	if err := g.timed(ctx, "token revoke", "", commandAim, "token", "revoke", "t1"); err != nil {
		return err
	}
	began = time.Now()
	if err := gate.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reloading: %w", err)
	}
	if err := gate.await("configuration active"); err != nil {
		return err
	}
	verdict("reload", time.Since(began), reloadAim)
	return g.memory("memory after a reload", gate.cmd.Process.Pid)
}

func (g *largeGate) memory(what string, pid int) error {
	used, err := proxy.UsageOf(pid)
	if err != nil {
		return err
	}
	report("  %-24s %7.1f MiB, peak %.1f MiB, under %d MiB: %t\n", what, float64(used.RSS)/(1<<20),
		float64(used.Peak)/(1<<20), memoryAim>>20, used.Peak < memoryAim)
	return nil
}

func (g *largeGate) timed(ctx context.Context, what, stdin string, aim time.Duration, args ...string) error {
	began := time.Now()
	used, err := g.call(ctx, stdin, append(args, "--config", g.main())...)
	if err != nil {
		return err
	}
	verdict(what, time.Since(began), aim)
	report("  %-24s %7.2f s of CPU, peak %.1f MiB\n", "", used.cpu.Seconds(), float64(used.peak)/(1<<20))
	return nil
}

// verdict prints a time, and whether it is within the aim where there is one.
func verdict(what string, took, aim time.Duration) {
	line := fmt.Sprintf("  %-24s %7.2f s", what, took.Seconds())
	if aim > 0 {
		line += fmt.Sprintf(", under %v: %t", aim, took < aim)
	}
	report("%s\n", line)
}

// spent is what a command took beside wall time.
type spent struct {
	cpu  time.Duration
	peak int64 // bytes
}

// call runs a command to its end.
func (g *largeGate) call(ctx context.Context, stdin string, args ...string) (s spent, err error) {
	cmd := exec.CommandContext(ctx, g.binary, args...)
	cmd.Dir, cmd.Stdin = g.dir, strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return s, fmt.Errorf("running sallyport %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if used, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.peak = used.Maxrss << 10 // kilobytes on Linux
	}
	return s, nil
}

// servingGate is a gate's process and the lines of its log.
type servingGate struct {
	cmd *exec.Cmd
	log *bufio.Scanner
}

func (g *largeGate) serve(ctx context.Context) (*servingGate, error) {
	cmd := exec.CommandContext(ctx, g.binary, "serve", "--config", g.main())
	cmd.Dir = g.dir
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the gate: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the gate: %w", err)
	}
	return &servingGate{cmd: cmd, log: bufio.NewScanner(out)}, nil
}

// await reads the log up to a line that holds text. Lines that come later wait in the pipe until the next await: a gate
// with no failure writes few.
func (s *servingGate) await(text string) error {
	var last string
	for s.log.Scan() {
		last = s.log.Text()
		if strings.Contains(last, text) {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("the gate ended before it wrote %q; its last line: %s", text, last), s.log.Err())
}

func (s *servingGate) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping the gate: %w", err)
	}
	for s.log.Scan() { // what it still writes must not block it
		continue
	}
	return s.cmd.Wait()
}
