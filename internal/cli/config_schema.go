package cli

import (
	"github.com/spf13/cobra"

	"sallyport/internal/config"
)

func (e *env) configSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of sallyport.yaml, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := e.Out.Write(config.Schema(e.kinds))
			return err
		},
	}
}
