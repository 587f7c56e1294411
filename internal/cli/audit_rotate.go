package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/audit"
)

func (e *env) auditRotate() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "End the audit log's file with a signed checkpoint and begin the next one; the gate goes on meanwhile",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHead(cmd.Context(), func(s *app.State) error {
				r, err := s.RotateAudit(cmd.Context(), &audit.Event{Actor: actor(), Action: "audit.rotate"})
				if err != nil {
					return err
				}
				return e.print(r, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s: records %s, %s\n", r.File, seqs(r.Records),
						counted(int(r.Bytes), "byte"))
					return err
				})
			})
		},
	}
}
