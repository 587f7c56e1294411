package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (e *env) secretList() *cobra.Command {
	var store string
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List the names and versions of stored secrets",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withStore(cmd.Context(), store, func(t *target) error {
				l, err := t.lister()
				if err != nil {
					return err
				}
				list, err := l.List(cmd.Context(), strings.Join(args, ""))
				if err != nil {
					return err
				}
				return e.print(orEmpty(list), func(w io.Writer) error {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					_, _ = fmt.Fprintln(t, "NAME\tVERSION\tSET")
					for _, one := range list {
						_, _ = cells(t, "%s\t%s\t%s\n", one.Path, one.Version.ID, when(one.Version.Created))
					}
					return t.Flush()
				})
			})
		},
	}
	storeFlag(cmd, &store)
	return cmd
}
