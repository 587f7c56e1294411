// Package process finds the n8n that runs in this container, and reads what it was started with: its role, its version,
// and the environment that it has. A program that is run beside n8n (by docker exec, kubectl exec, nomad alloc exec)
// gets the environment that the container was made with, which is another one when an entrypoint has resolved secrets
// for n8n.
//
// It looks at a container alone: on a host, where many programs run, it finds nothing. Linux only, through /proc.
//
// Invariant: the environment that it reads is told to the caller of Lookup, and to the n8n that Execute starts, and to
// nobody else.
package process

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// Process is an n8n that runs.
type Process struct {
	PID  int
	Role environment.Role
	// Hidden is why its environment cannot be read, or nil.
	Hidden error

	argv    []string
	environ map[string]secret.Value
	root    string // /proc/PID, where files are looked for as this process sees them; "": where we see them
}

// Proc is where Linux tells of processes.
const Proc = "/proc"

// Find returns the n8n of this container: the first process that is n8n itself and not what has started it, in the same
// mount namespace, if the container was made to run n8n (or is a pod whose containers share their processes).
func Find(proc string) (Process, bool) {
	first := argvOf(proc, 1)
	if len(first) == 0 || !startsN8N(first) && path.Base(first[0]) != "pause" {
		return Process{}, false
	}
	for _, pid := range pids(proc) {
		argv := argvOf(proc, pid)
		role, ok := environment.Command(argv, nothing)
		if !ok || !isItself(argv) || isElsewhere(proc, pid) {
			continue
		}
		if asked, ok := roleOf(first); ok { // n8n may have overwritten its own arguments
			role = asked
		}
		p := Process{PID: pid, Role: role, argv: argv}
		p.environ, p.Hidden = environOf(proc, pid)
		return p, true
	}
	return Process{}, false
}

func nothing(string) (string, bool) { return "", false }

// anyImage takes docker-entrypoint.sh for n8n's: it is asked of a container where n8n runs.
func anyImage(string) (string, bool) { return "", true }

// startsN8N tells whether a container's first process was made to run n8n, behind whatever.
func startsN8N(argv []string) bool {
	_, ok := roleOf(argv)
	return ok || slices.ContainsFunc(argv, func(arg string) bool { return strings.Contains(arg, "n8n") })
}

// roleOf reads the role from a command, or from the one behind "--": docker-init -- …, sallyport run … -- ….
func roleOf(argv []string) (environment.Role, bool) {
	if role, ok := environment.Command(argv, anyImage); ok {
		return role, true
	}
	for i, arg := range argv {
		if arg == "--" {
			return roleOf(argv[i+1:])
		}
	}
	return "", false
}

// isItself tells n8n from an init that runs it.
func isItself(argv []string) bool {
	base := path.Base(argv[0])
	return base == "n8n" || base == "node" || base == "nodejs"
}

// isElsewhere tells whether a process sees other files than this one: it is another container's.
func isElsewhere(proc string, pid int) bool {
	mine, err := os.Readlink(filepath.Join(proc, "self", "ns", "mnt"))
	theirs, other := os.Readlink(filepath.Join(proc, strconv.Itoa(pid), "ns", "mnt"))
	return err == nil && other == nil && mine != theirs
}

// pids are the processes, the oldest first, as far as numbers tell.
func pids(proc string) (all []int) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			all = append(all, pid)
		}
	}
	slices.SortFunc(all, cmp.Compare)
	return all
}

func argvOf(proc string, pid int) []string {
	content, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cmdline")) //nolint:gosec // of a process of this container
	content = bytes.TrimRight(content, "\x00")
	if err != nil || len(content) == 0 {
		return nil
	}
	return strings.Split(string(content), "\x00")
}

// environOf reads what a process was started with. Linux shows it to root and to the process's own user.
func environOf(proc string, pid int) (map[string]secret.Value, error) {
	content, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "environ")) //nolint:gosec // of a process of this container
	if bare, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, bare.Err
	}
	if err != nil {
		return nil, err
	}
	return parse(string(content)), nil
}

// parse reads NAME=VALUE pairs with NUL bytes between them.
func parse(content string) map[string]secret.Value {
	environ := make(map[string]secret.Value)
	for entry := range strings.SplitSeq(content, "\x00") {
		name, value, ok := strings.Cut(entry, "=")
		if _, twice := environ[name]; ok && !twice { // getenv(3) takes the first
			environ[name] = secret.NewValue([]byte(value))
		}
	}
	return environ
}

// Lookup is os.LookupEnv of the process.
func (p Process) Lookup(name string) (string, bool) {
	value, ok := p.environ[name]
	if name == "HOME" && p.root != "" {
		ok = true // the working folder stands in for one that is not set
	}
	return p.seen(name, string(value.Reveal())), ok
}

// String names the process.
func (p Process) String() string { return fmt.Sprintf("process %d", p.PID) }
