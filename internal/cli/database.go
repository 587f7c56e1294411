package cli

import (
	"github.com/spf13/cobra"
)

func (e *env) database() *cobra.Command {
	return group("database", "Look for rows that Sallyport has not written, and accept a restored database",
		e.databaseCheck(), e.databaseAccept())
}
