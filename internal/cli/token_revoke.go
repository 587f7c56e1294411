package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
)

func (e *env) tokenRevoke() *cobra.Command {
	return e.waits(&cobra.Command{
		Use:   "revoke NAME|ID",
		Short: "End a token at once: every generation of a name, or the one of an id",
		Long: `Ends every generation of a name, or the one of an id, and returns when every replica refuses it and has ended its open streams
and sockets. Replicas that did not confirm that in time are named, with exit code 13: the token is revoked, and such a replica
accepts it until it can read the database again, at most for as long as revocation.max_stale. One that has not been seen for
that long accepts no token any more, and is not waited for.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHead(cmd.Context(), func(s *app.State) error {
				if err := record(cmd.Context(), s, "token.revoke", args[0]); err != nil {
					return err
				}
				n, err := s.Tokens.Revoke(cmd.Context(), args[0])
				if err != nil {
					return e.meantToken(cmd.Context(), err, args[0])
				}
				unheard := s.Changed(cmd.Context(), topicTokens)
				if unheard != nil && fault.ExitOf(unheard) != fault.ExitUnconfirmed {
					unheard = fault.WithHint(unheard,
						"the token is revoked in the database; stop the gate if it does not take notice")
				}
				return errors.Join(e.print(map[string]int{"revoked": n}, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s revoked\n", counted(n, "generation"))
					return err
				}), unheard)
			})
		},
	})
}
