package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
)

func (e *env) configCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration; every error with file and line",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, warnings, err := e.load()
			if err != nil {
				return err
			}
			if err := app.CheckServices(c); err != nil {
				return err
			}
			for _, w := range warnings {
				e.note("warning: %s", w.Error())
			}
			summary := map[string]int{"services": len(c.Services), "tokens": len(c.Tokens), "warnings": len(warnings)}
			return e.print(summary, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "the configuration is valid: %s, %s, %s\n",
					counted(len(c.Services), "service"), counted(len(c.Tokens), "token"),
					counted(len(warnings), "warning"))
				return err
			})
		},
	}
}
