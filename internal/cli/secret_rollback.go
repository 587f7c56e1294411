package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func (e *env) secretRollback() *cobra.Command {
	var store string
	cmd := &cobra.Command{
		Use:   "rollback NAME VERSION",
		Short: "Make an older version current again, as a new version",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withStore(cmd.Context(), store, func(t *target) error {
				w, err := t.writer()
				if err != nil {
					return err
				}
				if err := t.record(cmd.Context(), "secret.rollback", args[0]+"@"+args[1]); err != nil {
					return err
				}
				version, err := w.Rollback(cmd.Context(), args[0], args[1])
				if err != nil {
					return e.meantIn(cmd.Context(), t, err, args[0])
				}
				return errors.Join(t.changed(cmd.Context()), e.tellVersion(args[0], version))
			})
		},
	}
	storeFlag(cmd, &store)
	return e.waits(cmd)
}
