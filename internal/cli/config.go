package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

func (e *env) config() *cobra.Command {
	return group("config", "Check and show the configuration",
		e.configCheck(), e.configShow(), e.configSchema())
}

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
				_, err := fmt.Fprintf(w, "the configuration is valid: %s, %s, %s\n", counted(len(c.Services), "service"), counted(len(c.Tokens), "token"), counted(len(warnings), "warning"))
				return err
			})
		},
	}
}

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

func (e *env) configSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of sallyport.yaml, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := e.Out.Write(config.Schema())
			return err
		},
	}
}
