package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/audit"
	"sallyport/internal/config/notation"
)

func (e *env) audit() *cobra.Command {
	return group("audit", "Read, verify, export and rotate the audit log, and see where it is shipped to",
		e.auditTail(), e.auditVerify(), e.auditExport(), e.auditRotate(), e.auditSinks())
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

// filter is what cmd was given. A flag with nothing in it, as of a variable of a script that is not set, is no choice
// of all records.
func (f *recordFlags) filter(cmd *cobra.Command) (audit.Filter, error) {
	for _, name := range []string{"service", "token", "workflow", "since"} {
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			return audit.Filter{}, usage(fmt.Errorf("reading --%s: it is empty", name), "leave it out for all records")
		}
	}
	from, err := parseSince(f.since)
	which := f.Filter
	which.Since = from
	return which, err
}

func seqs(r audit.Range) string {
	if r.From == 0 {
		return "none"
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

func parseSince(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := notation.ParseDuration(text); err == nil {
		return time.Now().Add(-age), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage(fmt.Errorf("reading --since %q: neither a time nor an age", text),
		"write it as 2026-01-31T00:00:00Z, 2026-01-31, 24h or 7d")
}
