package cli

import (
	"github.com/spf13/cobra"
)

func (e *env) key() *cobra.Command {
	return group("key", "Make and verify n8n's master key (N8N_ENCRYPTION_KEY)",
		e.keyGenerate(), e.keyVerify(), e.keyAgent(), e.keyRekey(), e.keyInstall())
}
