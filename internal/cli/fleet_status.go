package cli

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fleet"
)

// fleetStatus is what the command prints.
type fleetStatus struct {
	fleet.Record

	Working bool `json:"working"` // a process works on it now
}

func (e *env) fleetStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status NAME",
		Short: "Show the last restart of a fleet, step by step",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withFleet(cmd.Context(), args[0], func(f *app.Fleet) error {
				r, err := f.Journal.Load(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				unlock, err := f.Journal.Lock(cmd.Context(), args[0])
				working := errors.Is(err, fleet.ErrWorking)
				if err != nil && !working {
					return err
				}
				if !working {
					unlock()
				}
				return e.print(fleetStatus{r, working}, func(w io.Writer) error { return printRestart(w, r, working) })
			})
		},
	}
}

func printRestart(w io.Writer, r fleet.Record, working bool) error {
	if r.ID == "" {
		_, err := fmt.Fprintln(w, "It was never restarted.")
		return err
	}
	_, err := cells(w, "Restart %s, for %s: %s.\n", r.ID, r.Reason, statusOf(r, working))
	if old := r.Supersedes; old != nil && err == nil {
		_, err = cells(w, "It supersedes restart %s, for %s, which was %s.\n", old.ID, old.Reason, string(old.Status))
	}
	if r.Error != "" && err == nil {
		_, err = cells(w, "%s\n%s\n", r.Error, r.Hint)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "UNIT\tSTEP\tBEGAN\tENDED")
	for _, s := range r.Steps {
		_, _ = cells(t, "%s\t%s\t%s\t%s\n", s.Unit, string(s.Phase), when(s.Began), when(s.Ended))
	}
	return errors.Join(err, t.Flush())
}

func statusOf(r fleet.Record, working bool) string {
	if r.Status == fleet.Running && !working {
		return "ended half-way; `sallyport fleet restart " + r.Fleet + " --resume` goes on"
	}
	return string(r.Status)
}
