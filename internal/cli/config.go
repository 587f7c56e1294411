package cli

import (
	"github.com/spf13/cobra"
)

func (e *env) config() *cobra.Command {
	return group("config", "Check and show the configuration",
		e.configCheck(), e.configShow(), e.configSchema())
}
