package cli

import (
	"github.com/spf13/cobra"
)

func (e *env) service() *cobra.Command {
	return group("service", "List, test and explain services",
		e.serviceList(), e.serviceTest(), e.serviceExplain(), e.serviceConnect(), e.serviceDisconnect(),
		e.servicePresets())
}
