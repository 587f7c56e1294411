package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
)

func (e *env) databaseCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Tell which rows of the database are left out, since Sallyport has not written them so",
		Long: `Compares the rows of each table that decides something with the list that Sallyport keeps of them, in the database and beside it.
Exits with 3 when a row was altered, made, put back or taken away, or when the database is older than one that was seen before.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHead(cmd.Context(), func(s *app.State) error { return e.checkDatabase(cmd.Context(), s) })
		},
	}
}

func (e *env) checkDatabase(ctx context.Context, s *app.State) error {
	reports, err := s.Check(ctx)
	if err != nil {
		return err
	}
	wrong := 0
	for _, one := range reports {
		if !one.OK() {
			wrong++
		}
	}
	err = e.print(reports, func(w io.Writer) error {
		for _, one := range reports {
			line := one.String()
			if line == "" {
				line = "table of " + one.Table + ": as Sallyport has written it"
			}
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || wrong == 0 {
		return err
	}
	return fault.WithExit(fault.WithHint(fmt.Errorf("%d tables are not as Sallyport has written them", wrong),
		"who else can write to the database? docs/operations.md says what to do, also after a restore"),
		fault.ExitFindings)
}
