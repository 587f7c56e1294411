package cli

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
)

func (e *env) rotationTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test NAME",
		Short: "Try a rotation's driver at the provider, with a key of its own",
		Long: `Lists the provider's keys, makes one with a label of its own, tests it at the provider and by every replica's test call, and
deletes it again. The secret is not changed, and no other key is touched. Of a driver that changes a value in place nothing
can be tried without a change, and it says so.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			runs, err := e.runs()
			if err != nil {
				return err
			}
			tried, err := runs.Rehearse(cmd.Context(), args[0])
			if tried.Rotation == "" {
				return err
			}
			return errors.Join(err, e.print(tried, func(w io.Writer) error { return printTried(w, tried) }))
		},
	}
}

func printTried(w io.Writer, tried app.Rehearsed) error {
	for _, s := range tried.Steps {
		text := "ok: " + s.Text
		if s.Failure != "" {
			text = "FAILED: " + s.Failure
		}
		if _, err := cells(w, "%-7s %s\n", s.Name, text); err != nil {
			return err
		}
	}
	return nil
}
