package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/internal/audit"
	"sallyport/internal/config"
)

func (e *env) auditTail() *cobra.Command {
	var n int
	var follow, all bool
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the last records, one line each; --json shows them as written",
		Long: `Shows the last records that the flags choose, one line each; with --json as they are written. What the log says of itself (that
a process began or ended to write, that a checkpoint was made) is left out unless --all is given.`,
		Example: "  sallyport audit tail --refused --since 1h\n  sallyport audit tail -f --service openai --workflow " +
			"orders",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			which, err := f.filter(cmd)
			if err != nil {
				return err
			}
			which.Quiet = !all
			c, _, err := e.loadBy(config.LoadHead)
			if err != nil {
				return err
			}
			err = audit.Tail(cmd.Context(), c.Audit.File,
				audit.View{Lines: n, Follow: follow, Filter: which}, e.showRecord)
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
