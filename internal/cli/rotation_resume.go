package cli

import (
	"github.com/spf13/cobra"

	"sallyport/internal/app"
)

func (e *env) rotationResume() *cobra.Command {
	var o rotateOptions
	var forward bool
	cmd := &cobra.Command{
		Use:   "resume NAME",
		Short: "Go on with the unfinished run of a secret, and begin none",
		Long: `Goes on with the unfinished run of a rotation where it stands. With --forward, a run that is stuck because the provider has
ended the old key by itself is not taken back: the new value is tested once more, and becomes current.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			act := app.ActResume
			if forward {
				act = app.ActForward
			}
			return e.act(cmd.Context(), act, args[0], o)
		},
	}
	cmd.Flags().BoolVar(&forward, "forward", false, "the old key is gone: make the new value current")
	cmd.Flags().StringVar(&o.timeout, "timeout", "",
		"how long to follow the run, such as 10m (default: until it ends or waits)")
	return cmd
}
