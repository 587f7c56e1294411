package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/config/notation"
	"sallyport/internal/fault"
)

func (e *env) auditSinks() *cobra.Command {
	return &cobra.Command{
		Use:   "sinks",
		Short: "Show how far each audit sink of the running gate has come, and why one takes nothing",
		Long: "Show how far each audit sink of the running gate has come, and why one takes nothing.\n\n" +
			"The exit code is 3 when one takes nothing, or has missed records that were removed too early.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := e.loadBy(config.LoadHead)
			if err != nil {
				return err
			}
			list, err := app.AuditSinks(cmd.Context(), c)
			if err != nil {
				return err
			}
			if err := e.print(list, func(w io.Writer) error { return sinkLines(w, list, time.Now()) }); err != nil {
				return err
			}
			for i := range list {
				if list[i].Why != "" || list[i].Skipped > 0 {
					return fault.WithExit(fault.WithHint(errors.New("an audit sink does not have all of the log"),
						"see docs/operations/SallyportAuditSinkBehind.md"), fault.ExitFindings)
				}
			}
			return nil
		},
	}
}

// sinkLines is a line for each sink, and one for what is wrong with it.
func sinkLines(w io.Writer, list []app.SinkStatus, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no sinks: audit.sinks of the configuration has none")
		return err
	}
	for _, s := range list {
		state := "up to date"
		if s.Behind > 0 {
			state = counted(s.Behind, "record") + " behind"
			if lag := s.Lag(now).Truncate(time.Second); lag > 0 {
				state += ", " + notation.FormatDuration(lag)
			}
		}
		if s.Skipped > 0 {
			state += "; " + counted(s.Skipped, "record") + " were removed before they were shipped"
		}
		if _, err := fmt.Fprintf(w, "%s (%s, %s): has %d of %d, %s\n", s.Sink, s.Kind, s.Ship, s.Seq, s.Newest,
			state); err != nil {
			return err
		}
		if s.Why == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "  since %s: %s\n", s.Failing.UTC().Format(time.RFC3339), s.Why); err != nil {
			return err
		}
		if s.Hint != "" {
			if _, err := fmt.Fprintf(w, "  hint: %s\n", s.Hint); err != nil {
				return err
			}
		}
	}
	return nil
}
