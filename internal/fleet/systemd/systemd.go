// Package systemd is a fleet of systemd units, of this machine and of others that systemctl reaches over SSH.
//
// It speaks with systemctl, as the operator does: the rights are polkit's or root's, and those of the SSH key.
package systemd

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/program"
)

const (
	lookTime = 30 * time.Second
	// stopTime goes beside the grace that n8n has: systemd waits for a unit's TimeoutStopSec, 90 s by default.
	stopTime = 2 * time.Minute
)

// Options say which units, and with which program.
type Options struct {
	Units     []string // UNIT or HOST:UNIT, in the order of restart; HOST is what ssh takes
	Systemctl string   // "" is systemctl
}

// Fleet is a fleet of kind systemd. It is safe for concurrent use.
type Fleet struct {
	options Options
}

// New is a fleet of units that Settings.Check has let through.
func New(o Options) *Fleet {
	if o.Systemctl == "" {
		o.Systemctl = "systemctl"
	}
	return &Fleet{options: o}
}

// isUnit is HOST:UNIT or UNIT, as no program takes it for a flag.
var isUnit = regexp.MustCompile(`^(?:([A-Za-z0-9][A-Za-z0-9@._-]*):)?([A-Za-z0-9][A-Za-z0-9@._:\\-]*\.service)$`)

// List implements fleet.Orchestrator.
func (f *Fleet) List(ctx context.Context) ([]fleet.Unit, error) {
	var units []fleet.Unit
	for _, name := range f.options.Units {
		u, err := f.Look(ctx, name)
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	return units, nil
}

// shown are the properties that are asked for.
const shown = "LoadState,ActiveState,SubState,Result,InvocationID,NRestarts,TimeoutStopUSec"

// Look implements fleet.Orchestrator.
func (f *Fleet) Look(ctx context.Context, name string) (fleet.Unit, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	out, err := f.systemctl(ctx, name, "show", "--property="+shown)
	if err != nil {
		return fleet.Unit{}, fmt.Errorf("looking at %q: %w", name, err)
	}
	p := properties(out)
	if p["LoadState"] != "loaded" {
		return fleet.Unit{}, fmt.Errorf("looking at %q: %w", name,
			fleet.Gone("its LoadState is "+program.Clean(p["LoadState"])+": see `systemctl status` there"))
	}
	return describe(name, p), nil
}

func describe(name string, p map[string]string) fleet.Unit {
	u := fleet.Unit{
		Name: name, Generation: p["InvocationID"], Want: 1, Grace: span(p["TimeoutStopUSec"]),
		State: fleet.Changing,
	}
	u.Problem = program.Clean(p["ActiveState"] + " (" + p["SubState"] + ")")
	switch {
	case p["ActiveState"] == "active" && p["SubState"] == "running":
		u.State, u.Problem = fleet.Ready, ""
	case p["ActiveState"] == "failed":
		u.State, u.Problem = fleet.Failed, "it has failed: "+program.Clean(p["Result"])
		return u
	case p["ActiveState"] == "inactive":
		u.State, u.Want, u.Problem = fleet.Stopped, 0, ""
		return u
	}
	host, unit, found := strings.Cut(name, ":")
	way := fleet.NewWay("systemd", host+"/"+unit)
	if !found {
		unit = host
		way = fleet.NewWay("systemd", unit) // on this machine
	}
	u.Nodes = []fleet.Node{{
		Name: unit, Way: way, Instance: p["InvocationID"] + " " + p["NRestarts"],
		Ready: u.State == fleet.Ready,
	}}
	return u
}

// Restart implements fleet.Orchestrator. It returns when systemd has started the unit again: until then the unit is the
// old one.
func (f *Fleet) Restart(ctx context.Context, name string, grace time.Duration) error {
	return f.do(ctx, name, "restart", grace)
}

// Stop implements fleet.Scaler.
func (f *Fleet) Stop(ctx context.Context, name string, grace time.Duration) error {
	return f.do(ctx, name, "stop", grace)
}

// Start implements fleet.Scaler.
func (f *Fleet) Start(ctx context.Context, name string, _ int) error {
	return f.do(ctx, name, "start", 0)
}

func (f *Fleet) do(ctx context.Context, name, verb string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+stopTime)
	defer cancel()
	if _, err := f.systemctl(ctx, name, verb); err != nil {
		return fmt.Errorf("systemctl %s of %q: %w", verb, name, err)
	}
	return nil
}

// systemctl runs a verb for one unit.
func (f *Fleet) systemctl(ctx context.Context, name, verb string, flags ...string) ([]byte, error) {
	if !slices.Contains(f.options.Units, name) {
		return nil, fleet.Gone("the configuration names the units of this fleet")
	}
	parts := isUnit.FindStringSubmatch(name)
	if parts == nil {
		return nil, fleet.Gone("write UNIT.service or HOST:UNIT.service")
	}
	argv := []string{f.options.Systemctl, "--no-ask-password", "--no-pager"}
	if parts[1] != "" {
		argv = append(argv, "--host="+parts[1])
	}
	argv = append(append(argv, verb), flags...)
	e, err := fleet.Ask(ctx, append(argv, "--", parts[2]))
	if err != nil {
		return nil, err
	}
	if e.Exit != 0 {
		return nil, explain(e, verb)
	}
	return e.Stdout, nil
}

// explain sorts what systemctl says. Its words are systemd's (src/systemctl, and the D-Bus error names it prints).
func explain(e program.Ended, verb string) error {
	said := strings.ToLower(e.Said)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(said, part) })
	}
	shown := fmt.Errorf("it says %q", e.Said)
	switch {
	case has("not found", "not loaded"):
		return fmt.Errorf("%w: %w", fleet.Gone("`systemctl list-units` there names those that are"), shown)
	case has("authentication", "access denied", "permission denied", "not permitted"):
		return fault.WithHint(fmt.Errorf("%w: %w", fleet.ErrNotAllowed, shown),
			"run it as root, or let polkit allow org.freedesktop.systemd1.manage-units for this user")
	case has("failed to connect", "connection", "not been booted", "host is down", "could not resolve", "timed out"):
		return fleet.Unreachable(fmt.Sprintf("systemctl says %q", e.Said),
			"run `systemctl status` there, and `ssh HOST true` for another machine")
	}
	return fault.WithHint(fmt.Errorf("it ends with %d: %w", e.Exit, shown),
		"run `systemctl "+verb+"` there by hand; `journalctl -u UNIT` shows the log")
}

// properties reads the lines NAME=VALUE of `systemctl show`.
func properties(out []byte) map[string]string {
	p := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			p[name] = value
		}
	}
	return p
}

// span reads a time span as systemctl prints it: "1min 30s", "infinity". What is not understood is unknown.
func span(text string) (d time.Duration) {
	units := map[string]time.Duration{
		"us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour,
		"d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}
	for part := range strings.FieldsSeq(text) {
		digits := strings.TrimRight(part, "abcdefghijklmnopqrstuvwxyz")
		var n int64
		unit, known := units[part[len(digits):]]
		if _, err := fmt.Sscan(digits, &n); err != nil || !known {
			return 0
		}
		d += time.Duration(n) * unit
	}
	return d
}
