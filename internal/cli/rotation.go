package cli

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
)

func (e *env) rotation() *cobra.Command {
	return group("rotation", "Look at rotations that did not come to their end",
		e.rotationList(), e.rotationAbort())
}

func (e *env) rotationList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"status"},
		Short:   "List unfinished rotations: the next step, and what went wrong",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHead(cmd.Context(), func(s *app.State) error {
				list, err := s.Rotations().Journal.List(cmd.Context())
				if err != nil {
					return err
				}
				return e.print(orEmpty(list), func(w io.Writer) error {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					_, _ = fmt.Fprintln(t, "TOKEN\tGENERATION\tNEXT STEP\tSTARTED\tLAST ERROR")
					for _, one := range list {
						_, _ = cells(t, "%s\t%s\t%s\t%s\t%s\n", one.Name, one.ID, one.Step, when(one.Started), orDash(one.LastError))
					}
					return t.Flush()
				})
			})
		},
	}
}

func (e *env) rotationAbort() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "abort NAME",
		Short: "Drop the unfinished rotation of a token: its new value is refused from now on",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := e.confirm("refuse the new value of token "+args[0]+" (which n8n may hold already)", args[0]); err != nil {
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
