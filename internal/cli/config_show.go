package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
)

func (e *env) configShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show every active value and where it comes from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, _, err := e.load()
			if err != nil {
				return err
			}
			origins := config.Origins(c)
			return e.print(origins, func(w io.Writer) error {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(t, "KEY\tVALUE\tFROM")
				for _, o := range origins {
					_, _ = cells(t, "%s\t%s\t%s\n", o.Key, o.Value, o.From)
				}
				return t.Flush()
			})
		},
	}
}
