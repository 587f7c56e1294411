package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
)

func (e *env) rotationAbort() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "abort NAME",
		Short: "Drop the unfinished rotation of a token: its new value is refused from now on",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := e.confirm("refuse the new value of token "+args[0]+" (which n8n may hold already)",
					args[0]); err != nil {
					return err
				}
			}
			return e.withHead(cmd.Context(), func(s *app.State) error {
				if err := record(cmd.Context(), s, "rotation.abort", args[0]); err != nil {
					return err
				}
				err := s.AbortRotation(cmd.Context(), args[0])
				if err != nil && fault.ExitOf(err) != fault.ExitUnconfirmed {
					return e.meantToken(cmd.Context(), err, args[0])
				}
				return errors.Join(e.done("aborted", args[0]), err)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return e.waits(cmd)
}
