package cli

import (
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/internal/rotation/approval"
)

func (e *env) rotationApprove() *cobra.Command {
	var hash string
	cmd := &cobra.Command{
		Use:   "approve NAME --hash HASH",
		Short: "Approve of the plan with that hash, so that another person can start the run",
		Long: `Approves of the plan that "sallyport rotate NAME --dry-run" has shown, by its hash. If the plan is another one by now,
nothing is approved of. An approval counts for one run and for a day, and not for a run that the same person starts.

Who you are is what the gate's kernel says of the process at the other end of its control socket: the user with which your
session was begun, which su and sudo do not change, and where there is no session the process's own user.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if hash == "" {
				return usage(errors.New("--hash is missing"), "`sallyport rotate "+args[0]+
					" --dry-run` prints the plan, and its hash in the last line")
			}
			runs, err := e.runs()
			if err != nil {
				return err
			}
			given, err := runs.Approve(cmd.Context(), args[0], strings.TrimSpace(hash))
			if err != nil {
				return err
			}
			return e.print(given, func(w io.Writer) error {
				_, err := cells(w, "%s has approved of plan %s of rotation %s, until %s\n", given.By.Name, given.Hash,
					given.Rotation, when(given.At.Add(approval.Life)))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&hash, "hash", "", "the plan's hash, as rotate --dry-run prints it")
	return cmd
}
