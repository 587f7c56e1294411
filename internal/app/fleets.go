package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/fleet"
)

// Fleet is a fleet of the configuration, ready to be restarted.
type Fleet struct {
	*fleet.Roller

	files *fleet.Files
}

// OpenFleet opens a fleet by its name, and the journal of its restarts in the data directory. It contacts nobody.
func OpenFleet(ctx context.Context, c *config.Config, name string) (*Fleet, error) {
	f := c.Fleets[name]
	if f == nil {
		there := cmp.Or(strings.Join(slices.Sorted(maps.Keys(c.Fleets)), ", "), "none")
		return nil, fault.WithExit(fault.WithHint(fmt.Errorf("there is no fleet %q in the configuration", name),
			"there are: "+there+"; docs/fleet.md has examples"), fault.ExitUsage)
	}
	o, err := f.Settings.Open(ctx)
	if err != nil {
		return nil, err
	}
	files, err := fleet.OpenFiles(filepath.Join(c.Data, "fleet"))
	if err != nil {
		return nil, errors.Join(err, closed(o))
	}
	return &Fleet{files: files, Roller: &fleet.Roller{
		Fleet: name, Orchestrator: o, Journal: files, Health: fleet.Probe{URLs: f.Health},
		Limits: fleet.Limits{Grace: f.Grace, Unit: f.Timeout, Settle: f.Settle},
	}}, nil
}

// Files are where records of the fleet are kept.
func (f *Fleet) Files() *fleet.Files { return f.files }

// Close lets go of connections and files.
func (f *Fleet) Close() error { return errors.Join(closed(f.Orchestrator), f.files.Close()) }

func closed(o fleet.Orchestrator) error {
	if c, ok := o.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
