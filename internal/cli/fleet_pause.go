package cli

import (
	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fleet"
)

func (e *env) fleetPause() *cobra.Command {
	return &cobra.Command{
		Use:   "pause NAME",
		Short: "Have the restart of a fleet pause once the present unit is done; fleet restart --resume goes on",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.changeFleet(cmd.Context(), "fleet.pause", args[0], func(f *app.Fleet) error {
				working, err := f.Stop(cmd.Context(), fleet.Pause)
				if err != nil {
					return err
				}
				if working {
					e.note("the process that restarts it pauses once the present unit is healthy")
				}
				return e.done("paused", args[0])
			})
		},
	}
}
