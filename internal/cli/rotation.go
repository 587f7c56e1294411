package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	rotationrun "sallyport/internal/rotation/run"
)

func (e *env) rotation() *cobra.Command {
	return group("rotation", "Look at rotations of secrets and proxy tokens, go on with them, and take them back",
		e.rotationList(), e.rotationStatus(), e.rotationHistory(), e.rotationApprove(), e.rotationResume(),
		e.rotationAbort(), e.rotationTest(), e.rotationSweep())
}

// runsOf are the runs of a rotation, oldest first. That it has none is an error, unless it is in the configuration.
func (e *env) runsOf(ctx context.Context, name string) (runs []rotationrun.Entry, err error) {
	err = e.with(ctx, func(s *app.State) error {
		all, err := s.RunsOfSecrets(ctx)
		runs = slices.DeleteFunc(all, func(one rotationrun.Entry) bool { return one.Name != name })
		if err == nil && len(runs) == 0 && s.Config.Rotations[name] == nil {
			err = fault.WithExit(fault.WithHint(fmt.Errorf("there is no rotation %q", name),
				"`sallyport rotation list` shows what there is"), fault.ExitUsage)
		}
		return err
	})
	return runs, err
}

func (e *env) rotationHistory() *cobra.Command {
	return &cobra.Command{
		Use:   "history NAME",
		Short: "List the runs of a rotation: who began and approved them, and how they ended",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			runs, err := e.runsOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return e.print(orEmpty(runs), func(w io.Writer) error { return printHistory(w, runs) })
		},
	}
}

func (e *env) rotationStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status [NAME]",
		Short: "Say how the newest run of a rotation stands, and what it waits for; without NAME: list",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return e.listRotations(cmd.Context())
			}
			runs, err := e.runsOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if len(runs) == 0 {
				return e.print(nil, func(w io.Writer) error {
					_, err := cells(w, "rotation %s has not run yet\n", args[0])
					return err
				})
			}
			last := runs[len(runs)-1]
			return e.print(last, func(w io.Writer) error { return printStatus(w, last) })
		},
	}
}
