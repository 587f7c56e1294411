package cli

import (
	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
)

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
