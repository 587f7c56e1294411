package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/fault"
)

func (e *env) auditVerify() *cobra.Command {
	var checkpoints string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check the hash chain and the signed checkpoints; exit code 3 when something is wrong",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHead(cmd.Context(), func(s *app.State) error {
				file := s.Config.Audit.File
				if checkpoints == "" {
					checkpoints = s.Config.Audit.CheckpointFile
				}
				if len(args) == 1 {
					file = args[0]
				}
				keys, err := s.AuditKeys(cmd.Context())
				if err != nil {
					return err
				}
				report, err := audit.VerifyFile(cmd.Context(), file, checkpoints, keys.Public())
				if err != nil {
					return err
				}
				return errors.Join(e.print(report, func(w io.Writer) error {
					return tellReport(w, file, report)
				}), verdict(report))
			})
		},
	}
	cmd.Flags().StringVar(&checkpoints, "checkpoints", "", "the checkpoint file (default: as configured)")
	return cmd
}

func verdict(r audit.Report) error {
	if r.OK {
		return nil
	}
	return fault.WithExit(fault.WithHint(errors.New("the audit log is not what was written"),
		"keep all files as they are; docs/audit.md says what each finding means"), fault.ExitFindings)
}

func tellReport(w io.Writer, file string, r audit.Report) error {
	state := "intact"
	if !r.OK {
		state = "DAMAGED"
	}
	_, _ = fmt.Fprintf(w, "%s: %s, %s, %s\n", file, state, counted(r.Records, "record"),
		counted(r.Checkpoints, "checkpoint"))
	_, _ = fmt.Fprintf(w, "  anchored    %s  covered by a signed checkpoint\n", seqs(r.Anchored))
	_, err := fmt.Fprintf(w, "  unanchored  %s  chained, but since the last checkpoint\n", seqs(r.Unanchored))
	if len(r.Files) > 0 {
		_, err = fmt.Fprintf(w, "  files       %d, of records %d-%d\n", len(r.Files), r.Files[0].Records.From,
			r.Files[len(r.Files)-1].Records.To)
	}
	if r.Removed != nil {
		_, err = fmt.Fprintf(w, "  removed     %s  by retention, which is on record\n", seqs(*r.Removed))
	}
	if r.Missing != nil {
		_, err = fmt.Fprintf(w,
			"  missing     %s  no file has them, and no record says that they were removed\n", seqs(*r.Missing))
	}
	if r.Torn > 0 {
		_, err = fmt.Fprintf(w, "  torn        %s of an unfinished last record, which was never acknowledged\n",
			counted(r.Torn, "byte"))
	}
	if r.CutTail {
		_, err = fmt.Fprintln(w, "  cut tail    the log ends before its last checkpoint")
	}
	if r.FirstBad != nil {
		_, err = fmt.Fprintf(w, "  first bad   %s\n", r.FirstBad)
	}
	return err
}
