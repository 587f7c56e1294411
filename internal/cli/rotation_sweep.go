package cli

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/fault"
	"sallyport/internal/rotation/sweep"
)

func (e *env) rotationSweep() *cobra.Command {
	var fix bool
	cmd := &cobra.Command{
		Use:   "sweep NAME",
		Short: "Look for keys at the provider that a rotation has made and that nothing accounts for",
		Long: `Lists the provider's keys, and shows those with a label of this rotation that are neither current nor part of a run. With
--fix those are removed whose value nobody has: of a run that was taken back, or of a try that did not come to its end. A key
of a run that is not on record is left, since another installation may use the same account.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			runs, err := e.runs()
			if err != nil {
				return err
			}
			report, err := runs.Sweep(cmd.Context(), args[0], fix)
			if report.Rotation == "" {
				return err
			}
			if left := remaining(report); err == nil && left > 0 {
				err = fault.WithHint(fmt.Errorf("sweeping rotation %q: keys without an account: %d", args[0], left),
					"--fix removes those that are safe to remove; delete the others on the provider's page if nobody "+
						"uses them")
			}
			return errors.Join(err, e.print(report, func(w io.Writer) error { return printSweep(w, report) }))
		},
	}
	cmd.Flags().BoolVar(&fix, "fix", false, "remove the keys whose value nobody has")
	return cmd
}

// remaining counts the orphans that are still there.
func remaining(report sweep.Report) (n int) {
	for _, o := range report.Orphans {
		if !o.Removed {
			n++
		}
	}
	return n
}

func printSweep(w io.Writer, report sweep.Report) error {
	_, err := cells(w, "rotation %s: %d keys in the account, %d with a label of it, %d that nothing accounts for\n",
		report.Rotation, report.Keys, report.Own, len(report.Orphans))
	if err != nil || len(report.Orphans) == 0 {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "KEY\tRUN\tWHAT IS DONE\tWHY")
	for _, o := range report.Orphans {
		what := "left for a person"
		switch {
		case o.Removed:
			what = "removed"
		case o.Failure != "":
			what = "not removed: " + o.Failure
		case o.Safe:
			what = "--fix removes it"
		}
		_, _ = cells(t, "%s\t%s\t%s\t%s\n", o.Key.ID, o.Run, what, o.Why)
	}
	return t.Flush()
}
