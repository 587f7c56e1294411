package cli

import (
	"github.com/spf13/cobra"
)

func (e *env) rotation() *cobra.Command {
	return group("rotation", "Look at rotations that did not come to their end",
		e.rotationList(), e.rotationAbort())
}
