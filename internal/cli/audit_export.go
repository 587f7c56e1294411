package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/internal/audit"
	"sallyport/internal/config"
)

func (e *env) auditExport() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write records as JSON lines, for a SIEM",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			which, err := f.filter(cmd)
			if err != nil {
				return err
			}
			c, _, err := e.loadBy(config.LoadHead)
			if err != nil {
				return err
			}
			file, err := audit.OpenAll(c.Audit.File)
			if err != nil {
				return fmt.Errorf("exporting the audit log: %w", err)
			}
			defer file.Close() //nolint:errcheck // read only
			n, err := audit.Export(cmd.Context(), file, which, e.values())
			if err == nil && isTerminal(e.Err) {
				e.note("%s", counted(n, "record"))
			}
			return err
		},
	}
	f.flags(cmd)
	return cmd
}
