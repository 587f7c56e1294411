package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/fleet"
)

// listedFleet is what the command prints of a fleet.
type listedFleet struct {
	Fleet string       `json:"fleet"`
	Kind  string       `json:"kind"`
	Units []fleet.Unit `json:"units"`
}

func (e *env) fleetList() *cobra.Command {
	return &cobra.Command{
		Use:   "list [NAME]",
		Short: "List the units of fleets, in the order in which they are restarted, and how they are",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := e.loadBy(config.LoadHead)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = slices.Sorted(maps.Keys(c.Fleets))
			}
			var all []listedFleet
			for _, name := range args {
				err := e.withFleet(cmd.Context(), name, func(f *app.Fleet) error {
					units, err := f.Orchestrator.List(cmd.Context())
					all = append(all, listedFleet{name, c.Fleets[name].Kind, units})
					return err
				})
				if err != nil {
					return fmt.Errorf("listing fleet %q: %w", name, err)
				}
			}
			return e.print(orEmpty(all), func(w io.Writer) error { return printFleets(w, all) })
		},
	}
}

func printFleets(w io.Writer, all []listedFleet) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "FLEET\tUNIT\tSTATE\tNODES\tPROBLEM")
	for _, one := range all {
		for _, u := range one.Units {
			_, _ = cells(t, "%s\t%s\t%s\t%d of %d\t%s\n", one.Fleet, u.Name, string(u.State), readyOf(u),
				u.Want, orDash(u.Problem))
		}
	}
	return t.Flush()
}

func readyOf(u fleet.Unit) (n int) {
	for _, node := range u.Nodes {
		if node.Ready {
			n++
		}
	}
	return n
}
