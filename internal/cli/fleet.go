package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

func (e *env) fleet() *cobra.Command {
	return group("fleet", "Restart the nodes of an n8n installation one after another",
		e.fleetList(), e.fleetRestart(), e.fleetStatus(), e.fleetPause(), e.fleetAbort())
}

// withFleet opens a fleet of the configuration for what puts nothing on record.
func (e *env) withFleet(ctx context.Context, name string, fn func(f *app.Fleet) error) error {
	c, _, err := e.loadBy(config.LoadHead)
	if err != nil {
		return err
	}
	use := func(f *app.Fleet, err error) error {
		if err != nil {
			return err
		}
		return errors.Join(fn(f), f.Close())
	}
	if f := c.Fleets[name]; f != nil && len(f.Settings.Secrets()) > 0 {
		return e.withHead(ctx, func(s *app.State) error { return use(s.OpenFleet(ctx, name)) })
	}
	return use(app.OpenFleet(ctx, c, name))
}

// changeFleet is withFleet for what changes nodes or restarts: event goes on record before.
func (e *env) changeFleet(ctx context.Context, event, name string, fn func(f *app.Fleet) error) error {
	return e.withHead(ctx, func(s *app.State) error {
		f, err := s.OpenFleet(ctx, name)
		if err != nil {
			return err
		}
		if err = record(ctx, s, event, name); err == nil {
			err = fn(f)
		}
		return errors.Join(err, f.Close())
	})
}
