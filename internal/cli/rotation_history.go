package cli

import (
	"io"

	"github.com/spf13/cobra"
)

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
