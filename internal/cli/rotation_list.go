package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
)

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
						_, _ = cells(t, "%s\t%s\t%s\t%s\t%s\n", one.Name, one.ID, one.Step, when(one.Started),
							orDash(one.LastError))
					}
					return t.Flush()
				})
			})
		},
	}
}
