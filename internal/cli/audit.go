package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

func (e *env) audit() *cobra.Command {
	return group("audit", "Read, verify, export and rotate the audit log",
		e.auditTail(), e.auditVerify(), e.auditExport(), e.auditRotate())
}

func (e *env) auditTail() *cobra.Command {
	var n int
	var follow, all bool
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the last records, one line each; --json shows them as written",
		Long: `Shows the last records that the flags choose, one line each; with --json as they are written. What the log says of itself (that
a process began or ended to write, that a checkpoint was made) is left out unless --all is given.`,
		Example: "  sallyport audit tail --refused --since 1h\n  sallyport audit tail -f --service openai --workflow orders",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			which, err := f.filter()
			if err != nil {
				return err
			}
			which.Quiet = !all
			c, _, err := e.loadBy(config.LoadHead)
			if err != nil {
				return err
			}
			err = audit.Tail(cmd.Context(), c.Audit.File, audit.View{Lines: n, Follow: follow, Filter: which}, e.showRecord)
			if follow && errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().IntVarP(&n, "lines", "n", 20, "how many records")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as records are written")
	cmd.Flags().BoolVar(&all, "all", false, "also what the log says of itself")
	f.flags(cmd)
	return cmd
}

// recordFlags choose records.
type recordFlags struct {
	audit.Filter

	since string
}

func (f *recordFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Service, "service", "", "records of this service alone")
	cmd.Flags().StringVar(&f.Token, "token", "", "records of this token alone, by name or id")
	cmd.Flags().StringVar(&f.Workflow, "workflow", "", "records of this workflow alone, as the caller names it")
	cmd.Flags().StringVar(&f.since, "since", "", "from a time (2026-01-31T00:00:00Z) or an age (24h, 7d)")
	cmd.Flags().BoolVar(&f.Refused, "refused", false, "requests that got no credential alone")
}

func (f *recordFlags) filter() (audit.Filter, error) {
	from, err := parseSince(f.since)
	which := f.Filter
	which.Since = from
	return which, err
}

func (e *env) showRecord(line []byte) error {
	if e.json {
		_, err := e.Out.Write(append(line, '\n'))
		return err
	}
	text, err := audit.Format(line)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.Out, text)
	return err
}

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
				return errors.Join(e.print(report, func(w io.Writer) error { return tellReport(w, file, report) }), verdict(report))
			})
		},
	}
	cmd.Flags().StringVar(&checkpoints, "checkpoints", "", "the checkpoint file (default: as configured)")
	return cmd
}

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
					_, err := fmt.Fprintf(w, "%s: records %s, %s\n", r.File, seqs(r.Records), counted(int(r.Bytes), "byte"))
					return err
				})
			})
		},
	}
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
	_, _ = fmt.Fprintf(w, "%s: %s, %s, %s\n", file, state, counted(r.Records, "record"), counted(r.Checkpoints, "checkpoint"))
	_, _ = fmt.Fprintf(w, "  anchored    %s  covered by a signed checkpoint\n", seqs(r.Anchored))
	_, err := fmt.Fprintf(w, "  unanchored  %s  chained, but since the last checkpoint\n", seqs(r.Unanchored))
	if len(r.Files) > 0 {
		_, err = fmt.Fprintf(w, "  files       %d, of records %d-%d\n", len(r.Files), r.Files[0].Records.From, r.Files[len(r.Files)-1].Records.To)
	}
	if r.Removed != nil {
		_, err = fmt.Fprintf(w, "  removed     %s  by retention, which is on record\n", seqs(*r.Removed))
	}
	if r.Missing != nil {
		_, err = fmt.Fprintf(w, "  missing     %s  no file has them, and no record says that they were removed\n", seqs(*r.Missing))
	}
	if r.Torn > 0 {
		_, err = fmt.Fprintf(w, "  torn        %s of an unfinished last record, which was never acknowledged\n", counted(r.Torn, "byte"))
	}
	if r.CutTail {
		_, err = fmt.Fprintln(w, "  cut tail    the log ends before its last checkpoint")
	}
	if r.FirstBad != nil {
		_, err = fmt.Fprintf(w, "  first bad   %s\n", r.FirstBad)
	}
	return err
}

func seqs(r audit.Range) string {
	if r.From == 0 {
		return "none"
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

func (e *env) auditExport() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write records as JSON lines, for a SIEM",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			which, err := f.filter()
			if err != nil {
				return err
			}
			c, _, err := e.loadBy(config.LoadHead)
			if err != nil {
				return err
			}
			file, err := audit.OpenAll(c.Audit.File)
			if err != nil {
				return fmt.Errorf("exporting the audit log: %w", err)
			}
			defer file.Close() //nolint:errcheck // read only
			n, err := audit.Export(cmd.Context(), file, which, e.values())
			if err == nil && isTerminal(e.Err) {
				e.note("%s", counted(n, "record"))
			}
			return err
		},
	}
	f.flags(cmd)
	return cmd
}

func parseSince(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := config.ParseDuration(text); err == nil {
		return time.Now().Add(-age), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage(fmt.Errorf("reading --since %q: neither a time nor an age", text), "write it as 2026-01-31T00:00:00Z, 2026-01-31, 24h or 7d")
}
