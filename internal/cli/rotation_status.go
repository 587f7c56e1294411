package cli

import (
	"io"

	"github.com/spf13/cobra"
)

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
			return e.print(last, func(w io.Writer) error {
				if err := printStatus(w, last); err != nil || last.Ended() || e.hasRotation(args[0]) {
					return err
				}
				_, err := cells(w, "  the configuration has this rotation no longer: put rotations.%s back as it was "+
					"and reload, then go on or abort\n", args[0])
				return err
			})
		},
	}
}
