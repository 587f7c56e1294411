package cli

import (
	"github.com/spf13/cobra"
)

func (e *env) secret() *cobra.Command {
	return group("secret", "Keep secrets in the builtin store, or in another (--store)",
		e.secretSet(), e.secretGet(), e.secretList(), e.secretHistory(), e.secretRollback(),
		e.secretDelete(), e.secretImport())
}
