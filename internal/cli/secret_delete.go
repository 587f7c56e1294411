package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func (e *env) secretDelete() *cobra.Command {
	var store string
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a secret with all its versions, after confirmation",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := e.confirm("delete secret "+args[0]+" with all its versions", args[0]); err != nil {
					return err
				}
			}
			return e.withStore(cmd.Context(), store, func(t *target) error {
				w, err := t.writer()
				if err != nil {
					return err
				}
				if err := t.record(cmd.Context(), "secret.delete", args[0]); err != nil {
					return err
				}
				if err := w.Delete(cmd.Context(), args[0]); err != nil {
					return e.meantIn(cmd.Context(), t, err, args[0])
				}
				return errors.Join(t.changed(cmd.Context()), e.done("deleted", args[0]))
			})
		},
	}
	storeFlag(cmd, &store)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return e.waits(cmd)
}

// confirm asks a person to type a name. Without a terminal the answer is no.
func (e *env) confirm(what, name string) error {
	if !isTerminal(e.In) {
		return usage(fmt.Errorf("not going to %s without a confirmation", what), "add --yes")
	}
	_, _ = fmt.Fprintf(e.Err, "about to %s; type its name to go on: ", what)
	var answer string
	if _, err := fmt.Fscanln(e.In, &answer); err != nil || answer != name {
		return errors.New("not confirmed, nothing was changed")
	}
	return nil
}
