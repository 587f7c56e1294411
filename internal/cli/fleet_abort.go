package cli

import (
	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fleet"
)

func (e *env) fleetAbort() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "abort NAME",
		Short: "Give the rest of a restart up; what was restarted stays so",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := e.confirm("give up the restart of fleet "+args[0], args[0]); err != nil {
					return err
				}
			}
			return e.changeFleet(cmd.Context(), "fleet.abort", args[0], func(f *app.Fleet) error {
				working, err := f.Stop(cmd.Context(), fleet.Abort)
				if err != nil {
					return err
				}
				if working {
					e.note("the process that restarts it stops waiting; what runs the nodes may still be replacing " +
						"the present unit")
				}
				return e.done("aborted", args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
