package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"sallyport/internal/fault"
)

func (e *env) secretGet() *cobra.Command {
	var store, version string
	var reveal bool
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Print a secret's value to a pipe or file; the reading is on record",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isTerminal(e.Out) && !reveal {
				return fault.WithHint(errors.New("not showing a secret on a terminal"),
					"pipe it somewhere, or add --reveal")
			}
			return e.withStore(cmd.Context(), store, func(t *target) error {
				if err := t.record(cmd.Context(), "secret.get", args[0]); err != nil {
					return err
				}
				value, _, err := t.Get(cmd.Context(), args[0], version)
				if err != nil {
					return e.meantIn(cmd.Context(), t, err, args[0])
				}
				_, err = e.values().Write(value.Reveal())
				return err
			})
		},
	}
	storeFlag(cmd, &store)
	cmd.Flags().StringVar(&version, "version", "", "an older version (default: the current one)")
	cmd.Flags().BoolVar(&reveal, "reveal", false, "show it on a terminal")
	return cmd
}
