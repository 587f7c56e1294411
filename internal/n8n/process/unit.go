package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/environment"
)

// OfUnit returns the n8n of a systemd unit of this machine, by the control group that systemd has given it. What is
// asked beside n8n and not in its container, such as over SSH, has an environment that says nothing of n8n's: so a unit
// without an n8n, and one whose environment cannot be read, are errors.
func OfUnit(proc, unit string) (Process, error) {
	for _, pid := range pids(proc) {
		argv := argvOf(proc, pid)
		if len(argv) == 0 || !inUnit(proc, pid, unit) {
			continue
		}
		role, ok := environment.Command(argv, nothing)
		if !ok || !isItself(argv) {
			continue
		}
		p := Process{PID: pid, Role: role, argv: argv}
		p.environ, p.Hidden = environOf(proc, pid)
		if p.Hidden != nil {
			err := fmt.Errorf("reading the environment of n8n in unit %q: %w", unit, p.Hidden)
			return Process{}, fault.WithHint(err,
				"root and n8n's own user may: log in as one of them, or use sudo")
		}
		p.root = filepath.Join(proc, strconv.Itoa(pid))
		return p, nil
	}
	return Process{}, fault.WithHint(fmt.Errorf("no n8n runs in unit %q on this machine", unit),
		"`systemctl status` shows what runs in it; the name is that of the unit's file, no alias")
}

// inUnit tells whether a process is in a unit: a line of /proc/PID/cgroup is ID:CONTROLLERS:PATH (cgroups(7)).
func inUnit(proc string, pid int, unit string) bool {
	content, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cgroup")) //nolint:gosec // of a process of this machine
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(content)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && slices.Contains(strings.Split(parts[2], "/"), unit) {
			return true
		}
	}
	return false
}

// Shown is a name of a file as n8n itself has it.
func (p Process) Shown(path string) string {
	for _, below := range []string{"root", "cwd"} {
		if rest, ok := strings.CutPrefix(path, filepath.Join(p.root, below)+"/"); ok && p.root != "" {
			if below == "root" {
				return "/" + rest
			}
			return rest
		}
	}
	return path
}

// seen is a file that n8n names as this process finds it: the unit may have a file system of its own (PrivateTmp,
// LoadCredential), and another working directory.
func (p Process) seen(name, value string) string {
	isFolder := name == "N8N_USER_FOLDER" || name == "HOME"
	switch {
	case p.root == "", !isFolder && (name != environment.KeyFileName || value == ""):
		return value
	case filepath.IsAbs(value):
		return filepath.Join(p.root, "root", value)
	}
	return filepath.Join(p.root, "cwd", value)
}

// ErrNoUnit tells that a name is none of a unit of services.
var ErrNoUnit = errors.New("that is no unit")

// CheckUnit refuses what is no name of a service unit (systemd.unit(5)).
func CheckUnit(unit string) error {
	name, ok := strings.CutSuffix(unit, ".service")
	strange := func(r rune) bool {
		return !strings.ContainsRune("@._:\\-", r) && (r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z')
	}
	if !ok || name == "" || name[0] == '-' || len(unit) > 255 || strings.ContainsFunc(name, strange) {
		return ErrNoUnit
	}
	return nil
}
