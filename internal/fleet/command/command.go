// Package command is a fleet whose nodes are restarted and looked at by commands that someone names: ssh to each
// machine, a script, the tool of another orchestrator.
//
// It is not a shell: a command is a program and its arguments. It holds no state: what the status command prints first
// is the node's process, as far as anybody can tell here.
package command

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/program"
)

// The bounds of one command.
const (
	statusTime = 30 * time.Second
	// restartTime goes beside the grace that n8n has: many commands wait for the whole restart.
	restartTime = 2 * time.Minute
)

// Fleet is a fleet of kind command. It is safe for concurrent use if its commands are.
type Fleet struct{ units []*UnitSettings }

// New is a fleet of these units, which Settings.Check has let through.
func New(units []*UnitSettings) *Fleet { return &Fleet{units: units} }

// List implements fleet.Orchestrator. A unit whose status command cannot be run is listed as changing, with the reason.
func (f *Fleet) List(ctx context.Context) ([]fleet.Unit, error) {
	var units []fleet.Unit
	for _, u := range f.units {
		seen, err := f.look(ctx, u)
		if err != nil {
			return nil, err
		}
		units = append(units, seen)
	}
	return units, nil
}

// Look implements fleet.Orchestrator.
func (f *Fleet) Look(ctx context.Context, name string) (fleet.Unit, error) {
	u, err := f.find(name)
	if err != nil {
		return fleet.Unit{}, err
	}
	return f.look(ctx, u)
}

// Restart implements fleet.Orchestrator. A command that ends with anything but 0 is an error, and may have restarted
// all the same.
func (f *Fleet) Restart(ctx context.Context, name string, grace time.Duration) error {
	return f.do(ctx, "restarting", name, grace, func(u *UnitSettings) []string { return u.Restart })
}

// Stop implements fleet.Scaler.
func (f *Fleet) Stop(ctx context.Context, name string, grace time.Duration) error {
	return f.do(ctx, "stopping", name, grace, func(u *UnitSettings) []string { return u.Stop })
}

// Start implements fleet.Scaler: a unit is one node.
func (f *Fleet) Start(ctx context.Context, name string, _ int) error {
	return f.do(ctx, "starting", name, 0, func(u *UnitSettings) []string { return u.Start })
}

func (f *Fleet) do(ctx context.Context, doing, name string, grace time.Duration,
	which func(*UnitSettings) []string,
) error {
	u, err := f.find(name)
	if err != nil {
		return err
	}
	argv := which(u)
	if len(argv) == 0 {
		return fmt.Errorf("%s %q: %w", doing, name, fault.WithHint(
			fmt.Errorf("%w: the configuration names no command for it", fleet.ErrNotAllowed),
			"write stop: [COMMAND, …] and start: [COMMAND, …] beside its restart"))
	}
	ctx, cancel := context.WithTimeout(ctx, grace+restartTime)
	defer cancel()
	e, err := fleet.Ask(ctx, argv)
	if err == nil && e.Exit != 0 {
		err = failed(argv, e)
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", doing, name, err)
	}
	return nil
}

func (f *Fleet) find(name string) (*UnitSettings, error) {
	i := slices.IndexFunc(f.units, func(u *UnitSettings) bool { return u.Name == name })
	if i < 0 {
		return nil, fleet.Gone("the configuration names the units of this fleet")
	}
	return f.units[i], nil
}

func (f *Fleet) look(ctx context.Context, u *UnitSettings) (fleet.Unit, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	e, err := fleet.Ask(ctx, u.Status)
	if err != nil {
		return fleet.Unit{}, fmt.Errorf("looking at %q: %w", u.Name, err)
	}
	seen := fleet.Unit{Name: u.Name, Want: 1, State: fleet.Ready, Generation: firstLine(e.Stdout)}
	switch {
	case e.Exit == 0:
	case slices.Contains([]string{"stopped", "inactive"}, lastLine(e.Stdout)):
		return fleet.Unit{Name: u.Name, State: fleet.Stopped}, nil
	default:
		seen.State, seen.Problem = fleet.Changing, problem(e)
	}
	seen.Nodes = []fleet.Node{{
		Name: u.Name, Way: fleet.Way(u.Way), Address: u.Address, Instance: seen.Generation,
		Ready: e.Exit == 0,
	}}
	if seen.State != fleet.Ready {
		seen.Generation = "" // what a failing command prints is no process
	}
	return seen, nil
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return program.Clean(string(line))
}

func lastLine(text []byte) string {
	text = bytes.TrimSpace(text)
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}

func problem(e program.Ended) string {
	text := fmt.Sprintf("its status command ends with %d", e.Exit)
	if said := e.Said; said != "" {
		text += ": " + said
	}
	return text
}

func failed(argv []string, e program.Ended) error {
	err := fmt.Errorf("its command ends with %d", e.Exit)
	if e.Said != "" {
		err = fmt.Errorf("%w: it says %q", err, e.Said)
	}
	return fault.WithHint(err, "run it by hand: "+strings.Join(argv, " "))
}
