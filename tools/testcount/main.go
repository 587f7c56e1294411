// Command testcount runs go test and ends with a plain count that a person and a CI system both read:
//
//	testcount [-C DIR] ARGS [-- ARGS]...
//
// Every group of ARGS is one "go test -json ARGS", run one after the other and counted together. Settings of the
// environment (NAME=VALUE) may stand first in a group, as with env(1). The last line is "N passed, N failed, N
// skipped". A test with subtests is not counted beside them, unless it failed (or was skipped) though none of them did.
//
// -C is the directory of the module under test; it stands first, as with the go command.
//
// Tests that testkit.RequireTool has left out are told in lines of their own before it: how many, what is not here, and
// the command that gets it.
//
// It is not a test runner: what go test decides stands. It only refuses three things that go test lets pass: a run of
// no test at all, any skip while CI=true, and a test that began and never ended.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run counts what the groups of arguments test and returns the exit code: 0, 1 when something failed, 2 for misuse.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	dir := "."
	if len(args) > 1 && args[0] == "-C" {
		dir, args = args[1], args[2:]
	}
	if len(args) == 0 {
		fmt.Fprintln(stderr, "testcount: error: no packages given")
		return 2
	}
	count := newCount(os.Getenv("CI") == "true")
	printer := newPrinter(stdout)
	for _, group := range groups(args) {
		if err := goTest(ctx, dir, group, stderr, func(e event) { printer.show(count.add(e)) }); err != nil {
			count.broke("go test "+group[len(group)-1], err)
		}
	}
	printer.close(count)
	if count.failed() > 0 || count.total() == 0 {
		return 1
	}
	return 0
}

// groups splits the arguments at every "--"; empty groups are dropped.
func groups(args []string) [][]string {
	var all [][]string
	for len(args) > 0 {
		end := slices.Index(args, "--")
		if end < 0 {
			end = len(args)
		}
		if end > 0 {
			all = append(all, args[:end])
		}
		args = args[min(end+1, len(args)):]
	}
	return all
}

// settings splits the settings of the environment off the arguments of a group.
func settings(group []string) (environment, args []string) {
	n := 0
	for n < len(group) && !strings.HasPrefix(group[n], "-") && strings.Contains(group[n], "=") {
		n++
	}
	return group[:n], group[n:]
}

// goTest runs one go test and hands over its events. The error is about the run itself (it could not start, it printed
// something that is no event): tests that fail are told by their events.
func goTest(ctx context.Context, dir string, args []string, stderr io.Writer, each func(event)) error {
	environment, args := settings(args)
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Dir = dir
	cmd.Stderr = stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("opening the output of go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting go test: %w", err)
	}
	sawFailure, readErr := readEvents(out, each)
	waitErr := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(waitErr, &exit) && sawFailure && ctx.Err() == nil {
		waitErr = nil // the events say it better
	}
	return errors.Join(readErr, waitErr, ctx.Err())
}

// readEvents decodes the stream to its end and reports whether any event was a failure.
func readEvents(r io.Reader, each func(event)) (sawFailure bool, err error) {
	decoder := json.NewDecoder(r)
	for {
		var e event
		switch err := decoder.Decode(&e); {
		case errors.Is(err, io.EOF):
			return sawFailure, nil
		case err != nil:
			// Drained, so that go test is not left writing into a full pipe.
			_, copyErr := io.Copy(io.Discard, r)
			return sawFailure, errors.Join(fmt.Errorf("reading the events of go test: %w", err), copyErr)
		}
		sawFailure = sawFailure || e.Action == "fail" || e.Action == "build-fail"
		each(e)
	}
}
