package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	rotationrun "sallyport/internal/rotation/run"
)

func printHistory(w io.Writer, runs []rotationrun.Entry) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "RUN\tSTATE\tSTARTED\tUPDATED\tBY\tAPPROVED\tVERSION\tLAST ERROR")
	for _, one := range runs {
		_, _ = cells(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.ID, string(one.State), when(one.Started),
			when(one.Updated), one.Actor, orDash(strings.Join(one.Approved, ", ")), versions(one),
			orDash(one.LastError))
	}
	return t.Flush()
}

// versions are those before and after a run.
func versions(e rotationrun.Entry) string {
	if e.NewVersion == "" {
		return orDash(e.OldVersion)
	}
	return orDash(e.OldVersion) + " to " + e.NewVersion
}

// printStatus is printRun with all that a person may need who has to act.
func printStatus(w io.Writer, e rotationrun.Entry) error {
	if err := printRun(w, e); err != nil {
		return err
	}
	var lines []string
	add := func(name, text string) {
		if text != "" {
			lines = append(lines, name+": "+text)
		}
	}
	add("begun by", e.Actor+", "+when(e.Started))
	add("version", versions(e))
	add("old key", e.OldKey)
	add("new key", e.NewKey)
	for _, v := range e.Verdicts {
		if v.Failure != "" {
			add("test at "+v.Replica, v.Failure)
		}
	}
	if e.State == rotationrun.StateWaiting {
		add("nobody has used the old version for", e.Quiet.String())
	}
	add("last error", e.LastError)
	add("what to do", e.Hint)
	for _, line := range lines {
		if _, err := cells(w, "  %s\n", line); err != nil {
			return err
		}
	}
	return nil
}
