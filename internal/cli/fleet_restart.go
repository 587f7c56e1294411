package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fleet"
)

// fleetRestart is how a fleet is restarted.
type fleetRestart struct {
	plan             fleet.Plan
	resume, rollback bool
	skip             []string
	proof            keyFleet
}

func (e *env) fleetRestart() *cobra.Command {
	var o fleetRestart
	cmd := &cobra.Command{
		Use:   "restart NAME",
		Short: "Restart the units of a fleet one after another, each healthy before the next",
		Long: `Restarts the units of a fleet in their order. Each is restarted by what runs it, and has to be healthy, with the same
processes, for a while before the next one is begun. With --prove-key-file each node is asked for its master key too, as key
verify does. A unit that does not become healthy ends the restart; the ones after it are left alone.

Each step is on record in the data directory. Whatever ends the command, --resume goes on where it was, --rollback brings the
units that were restarted back to what they ran before, and fleet abort gives the rest up.`,
		Example: `  sallyport fleet restart prod --reason "new master key"
  sallyport fleet restart prod --prove-key-file new.key
  sallyport fleet restart prod --resume`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return e.restartFleet(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.plan.Reason, "reason", "by hand", "what it is for; it is kept with the restart")
	f.StringArrayVar(&o.plan.Units, "unit", nil, "restart this unit alone; repeatable, in this order")
	f.BoolVar(&o.plan.Force, "force", false, "begin although a unit is not healthy")
	f.BoolVar(&o.resume, "resume", false, "go on with the restart that was not finished")
	f.StringArrayVar(&o.skip, "skip", nil, "with --resume: give this unit up; repeatable")
	f.BoolVar(&o.rollback, "rollback", false,
		"bring the units that the last restart has restarted back, the newest first")
	f.StringVar(&o.proof.keyFile, "prove-key-file", "", "prove that each node has the master key in this file")
	proofFlags(f, &o.proof, "with --prove-key-file: ")
	return cmd
}

func (e *env) restartFleet(ctx context.Context, name string, o fleetRestart) error {
	switch {
	case o.resume && o.rollback:
		return usage(errors.New("--resume and --rollback are two ways to go"), "give one of them")
	case (o.resume || o.rollback) && (len(o.plan.Units) > 0 || o.plan.Force):
		return usage(errors.New("--unit and --force are for a new restart"), "take them away")
	case len(o.skip) > 0 && !o.resume:
		return usage(errors.New("--skip goes with --resume"), "--unit names the units of a new restart")
	}
	event := "fleet.restart"
	if o.rollback {
		event = "fleet.rollback"
	}
	return e.changeFleet(ctx, event, name, func(f *app.Fleet) error {
		if o.proof.keyFile != "" {
			if err := e.proveKeys(ctx, f, &o.proof); err != nil {
				return err
			}
		}
		f.Tell = e.fleetEvent
		r, err := o.run(ctx, f)
		if r.ID == "" { // nothing was begun
			return err
		}
		return errors.Join(err, e.print(r, func(w io.Writer) error {
			_, err := cells(w, "restart %s of %s: %s\n", r.ID, name, string(r.Status))
			return err
		}))
	})
}

// proveKeys has each node asked for its key, unless one could not be.
func (e *env) proveKeys(ctx context.Context, f *app.Fleet, proof *keyFleet) error {
	prover, err := e.keyProver(ctx, proof)
	if err != nil {
		return err
	}
	f.Prover = prover
	units, err := f.Orchestrator.List(ctx)
	if err != nil {
		return nil //nolint:nilerr // whoever restarts it meets the same, and knows how long to wait for it
	}
	if err := prover.canAsk(units); err != nil {
		return fmt.Errorf("before anything was restarted: %w", err)
	}
	return nil
}

// fleetEvent tells of progress.
func (e *env) fleetEvent(event fleet.Event) {
	about := ""
	if event.Unit != "" {
		about = event.Unit + ": "
	}
	e.note("%d/%d %s%s", event.Done, event.Total, about, event.Text)
}

func (o *fleetRestart) run(ctx context.Context, f *app.Fleet) (fleet.Record, error) {
	switch {
	case o.resume:
		return f.Resume(ctx, o.skip...)
	case o.rollback:
		return f.Rollback(ctx)
	}
	return f.Begin(ctx, o.plan)
}
