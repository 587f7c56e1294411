package cli

import (
	"github.com/spf13/cobra"
)

func (e *env) egress() *cobra.Command {
	return group("egress", "Try to leave past the gate, and prove that nothing does",
		e.egressCheck(), e.egressListen(), e.egressProve())
}
