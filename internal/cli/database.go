package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
)

func (e *env) database() *cobra.Command {
	return group("database", "Look for rows that Sallyport has not written, and accept a restored database",
		e.databaseCheck(), e.databaseAccept())
}

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
		"who else can write to the database? docs/operations.md says what to do, also after a restore"), fault.ExitFindings)
}

func (e *env) databaseAccept() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "accept",
		Short: "Have a restored, older database count again; what was revoked since then stays revoked",
		Long: `Until a person says so, what has changed since an older database was left is out of use. This command has the rows count for
which the restored database's own list vouches, and gives up what is gone. A token that was revoked or replaced since then stays so, and
no version number of a secret is given out twice. Rows that were altered by hand are never accepted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHead(cmd.Context(), func(s *app.State) error {
				if err := e.checkDatabase(cmd.Context(), s); err != nil && fault.ExitOf(err) != fault.ExitFindings {
					return err
				} else if err == nil {
					return nil
				}
				if !yes {
					if err := e.confirm("have this database count", "accept"); err != nil {
						return err
					}
				}
				if err := record(cmd.Context(), s, "database.accept", s.DB.Where); err != nil {
					return err
				}
				if err := s.Accept(cmd.Context()); err != nil {
					return err
				}
				return e.done("accepted", "the database")
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
