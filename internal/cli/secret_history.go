package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (e *env) secretHistory() *cobra.Command {
	var store string
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "Show the versions of a secret",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withStore(cmd.Context(), store, func(t *target) error {
				l, err := t.lister()
				if err != nil {
					return err
				}
				list, err := l.History(cmd.Context(), args[0])
				if err != nil {
					return e.meantIn(cmd.Context(), t, err, args[0])
				}
				return e.print(orEmpty(list), func(w io.Writer) error {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					_, _ = fmt.Fprintln(t, "VERSION\tSET\t")
					for _, v := range list {
						mark := ""
						if v.Current {
							mark = "current"
						}
						_, _ = cells(t, "%s\t%s\t%s\n", v.ID, when(v.Created), mark)
					}
					return t.Flush()
				})
			})
		},
	}
	storeFlag(cmd, &store)
	return cmd
}
