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
	"sallyport/internal/localfile"
	"sallyport/internal/n8n/api"
	"sallyport/internal/secret"
)

// Fleet is a fleet of the configuration, ready to be restarted.
type Fleet struct {
	*fleet.Roller

	files *fleet.Files
}

// OpenFleet opens a fleet by its name, and the journal of its restarts in the data directory. It contacts nobody.
func (s *State) OpenFleet(ctx context.Context, name string) (*Fleet, error) {
	return openFleet(ctx, s.Config, name, func(ctx context.Context, ref secret.Ref) (secret.Value, error) {
		value, _, err := s.Resolve(ctx, ref)
		return value, err
	})
}

// OpenFleet is State.OpenFleet for a fleet that needs no secret: it does without the gate's state.
func OpenFleet(ctx context.Context, c *config.Config, name string) (*Fleet, error) {
	return openFleet(ctx, c, name, func(_ context.Context, ref secret.Ref) (secret.Value, error) {
		return secret.Value{}, fmt.Errorf("reading %s: no store was opened", ref)
	})
}

func openFleet(ctx context.Context, c *config.Config, name string,
	read func(context.Context, secret.Ref) (secret.Value, error),
) (*Fleet, error) {
	f := c.Fleets[name]
	if f == nil {
		there := cmp.Or(strings.Join(slices.Sorted(maps.Keys(c.Fleets)), ", "), "none")
		return nil, fault.WithExit(fault.WithHint(fmt.Errorf("there is no fleet %q in the configuration", name),
			"there are: "+there+"; docs/fleet.md has examples"), fault.ExitUsage)
	}
	o, err := f.Settings.Open(ctx, fleet.Host{Secret: read})
	if err != nil {
		return nil, err
	}
	files, err := fleet.OpenFiles(filepath.Join(c.Data, "fleet"))
	if err != nil {
		return nil, errors.Join(err, closed(o))
	}
	opened := &Fleet{files: files, Roller: &fleet.Roller{
		Fleet: name, Orchestrator: o, Journal: files, Health: fleet.Probe{URLs: f.Health},
		Limits: fleet.Limits{Grace: f.Grace, Unit: f.Timeout, Settle: f.Settle},
	}}
	if f.Drain != nil {
		opened.Busy = &busy{drain: f.Drain, read: read}
		opened.Limits.Drain, opened.Limits.MustDrain = f.Drain.Timeout, f.Drain.Required
	}
	return opened, nil
}

// busy asks n8n's API how much it executes. The key is read for each question: it may be rotated meanwhile.
type busy struct {
	drain *config.FleetDrain
	read  func(context.Context, secret.Ref) (secret.Value, error)
}

// Running implements fleet.Busy.
func (b *busy) Running(ctx context.Context) (int, error) {
	key, err := b.read(ctx, b.drain.APIKey)
	if err != nil {
		return 0, err
	}
	pool, err := localfile.CertPool(b.drain.CAFile)
	if err != nil {
		return 0, fmt.Errorf("reading drain.ca_file: %w", err)
	}
	n8n, err := api.NewExecutions(api.Config{URL: b.drain.URL.String(), APIKey: key, CACertPool: pool})
	if err != nil {
		return 0, err
	}
	return n8n.Running(ctx)
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
