package entrypoint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"sallyport/internal/fault"
)

// endings are the signals that end a Run that has not started the program yet.
var endings = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT}

// ended is the end by a signal before the program was started.
func ended(sig os.Signal) error {
	return &ExitError{Code: exitOf(sig), Why: fmt.Sprintf("ended by a signal (%v) before the program was started", sig)}
}

func exitOf(sig os.Signal) int {
	if s, ok := sig.(syscall.Signal); ok {
		return exitSignal + int(s)
	}
	return exitSignal
}

// defaultPath is where programs are looked for without PATH, as execvp does.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// find looks for the program as a shell would.
func find(argv, environ []string) (string, error) {
	if len(argv) == 0 || argv[0] == "" {
		return "", fault.WithExit(fault.WithHint(errors.New("there is no program to run"),
			"sallyport run [flags] -- CMD [ARG]…"), fault.ExitUsage)
	}
	name := argv[0]
	if strings.Contains(name, "/") {
		return name, unfit(name, executable(name))
	}
	path, ok := lookup(environ)("PATH")
	if !ok {
		path = defaultPath
	}
	var denied error
	for _, dir := range filepath.SplitList(path) {
		candidate := filepath.Join(cmp.Or(dir, "."), name)
		err := executable(candidate)
		if err == nil {
			return absolute(candidate), nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) && denied == nil {
			denied = unfit(candidate, err)
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", unfit(name, fs.ErrNotExist)
}

// absolute keeps a program that was found in a relative part of PATH from being looked for again.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// executable returns why a file cannot be run.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return syscall.EISDIR
	case info.Mode()&0o111 == 0:
		return fs.ErrPermission
	}
	return nil
}

// unfit explains why a program cannot be started, with a shell's exit code for it.
func unfit(program string, err error) error {
	if err == nil {
		return nil
	}
	why, hint, code := err, "look at the file's permissions, and at those of the folders above it", exitNotExecutable
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		why, hint, code = errors.New("there is no such program"), "is it in this image, and in PATH?", exitNotFound
		if exists(program) {
			why, hint = errors.New("the file is there, but what interprets it is not"),
				"look at its first line (#!…), or at the C library that it was built for"
		}
	case errors.Is(err, syscall.EISDIR):
		why, hint = errors.New("it is a folder"), "name a program"
	case errors.Is(err, syscall.ENOEXEC):
		why, hint = errors.New("it is no program of this system"), "a script needs a first line such as #!/bin/sh; a "+
			"program has to be built for this processor"
	case errors.Is(err, syscall.E2BIG):
		why, hint = errors.New("its arguments and environment together are larger than the system takes (E2BIG)"),
			"hand the largest values over as files"
	case errors.Is(err, fs.ErrPermission):
		why = errors.New("it may not be executed")
	}
	return fault.WithExit(fault.WithHint(fmt.Errorf("starting %q: %w", program, why), hint), fault.Exit(code))
}

// replace lets the program take over this process. It returns only if that fails.
func (r *runner) replace(l *launch, ends <-chan os.Signal) error {
	if err := r.release(); err != nil {
		return err
	}
	signal.Reset() // from here on a signal ends this process as it would the program
	select {
	case sig := <-ends:
		return ended(sig)
	default:
	}
	return tooBig(unfit(r.program, syscall.Exec(r.program, r.Argv, l.environ)), l) //nolint:gosec // what the operator says is what is run
}

// largest is how many variables a person is told of.
const largest = 3

// tooBig adds the names of the largest variables to an E2BIG.
func tooBig(err error, l *launch) error {
	if err == nil || !strings.Contains(err.Error(), "E2BIG") {
		return err
	}
	sorted := slices.SortedFunc(slices.Values(l.environ), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var names []string
	for _, entry := range sorted[:min(largest, len(sorted))] {
		name, _, _ := strings.Cut(entry, "=")
		names = append(names, fmt.Sprintf("%s (%d bytes)", name, len(entry)))
	}
	return fault.WithHint(err, "hand the largest values over as files: "+strings.Join(names, ", "))
}
