package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/config/notation"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/plan"
	rotationrun "sallyport/internal/rotation/run"
)

// rotateOptions are how a run is begun and followed.
type rotateOptions struct {
	dryRun, noWait bool
	run, timeout   string
}

func (e *env) rotateSecret() *cobra.Command {
	var o rotateOptions
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Rotate a secret: a new value is made, tested on every replica, made current, and the old key ended",
		Long: `Rotates the secret of a rotation in the configuration: create, set, test, promote, spread, restart, retire. Until promote
everything is taken back if a step fails. The running gate does it; Ctrl-C and --timeout end this command and not the run.

Asked again, it goes on with the run that is unfinished. With --run ID it is about that run alone: a CI job that is repeated
under its own id begins no second one, and gets the answer of the first.

The old key is ended when each consumer has used the new version and nobody has used the old one for the rotation's grace
time. That can take days, and nothing waits for it: the command ends with 0 as soon as the new version is used everywhere.

Exit codes: 0 done, or all but the old key's end; 11 another process is at it, or --timeout is over; 14 it waits until people
have approved; 15 it was taken back, and everything is as before; 16 a person has to look; 10 and 1 for what went wrong before
anything was begun.`,
		Example: `  sallyport rotate stripe --dry-run
  sallyport rotate stripe --run "$CI_PIPELINE_ID" --timeout 10m`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.rotateByName(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "print what a run would do, and change nothing")
	f.StringVar(&o.run, "run", "", "your own id of the run, such as a CI job's: asking twice is one run")
	f.BoolVar(&o.noWait, "no-wait", false, "end when the run has begun")
	f.StringVar(&o.timeout, "timeout", "", "how long to follow the run, such as 10m (default: until it ends or waits)")
	return cmd
}

func (e *env) rotateByName(ctx context.Context, name string, o rotateOptions) error {
	if o.dryRun {
		if o.run != "" || o.noWait || o.timeout != "" {
			return usage(errors.New("--dry-run begins no run"), "take --run, --no-wait and --timeout away")
		}
		return e.printPlan(ctx, name)
	}
	return e.act(ctx, app.ActRotate, name, o)
}

func (e *env) printPlan(ctx context.Context, name string) error {
	runs, err := e.runs()
	if err != nil {
		return err
	}
	p, err := runs.Plan(ctx, name)
	if err != nil {
		return err
	}
	return e.print(p, func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range p.Rows() {
			_, _ = cells(t, "%s\t%s\n", row.Name, row.Text)
		}
		return t.Flush()
	})
}

func (e *env) runs() (app.Runs, error) {
	c, _, err := e.loadBy(config.LoadHead)
	if err != nil {
		return app.Runs{}, err
	}
	return app.OpenRuns(c), nil
}

// errFollowed ends a command that has followed a run for long enough.
var errFollowed = errors.New("the command has waited for long enough")

// act has the gate do something with a run, and follows it.
func (e *env) act(ctx context.Context, act, name string, o rotateOptions) error {
	runs, err := e.runs()
	if err != nil {
		return err
	}
	following, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if o.timeout != "" {
		d, err := notation.ParseDuration(o.timeout)
		if err != nil || d <= 0 {
			return usage(fmt.Errorf("reading --timeout %q: it is no time to wait for", o.timeout), "write it as 10m")
		}
		var cancel context.CancelFunc
		following, cancel = context.WithTimeoutCause(following, d, errFollowed)
		defer cancel()
	}
	show := e.watcher()
	last, err := runs.Do(following, act, name, app.RunRequest{Run: o.run}, func(one rotationrun.Entry) {
		show(one)
		if o.noWait {
			stop(errBegun)
		}
	})
	switch cause := context.Cause(following); {
	case errors.Is(cause, errBegun):
		err = nil
	case errors.Is(cause, errFollowed):
		err = left(name, last, fault.ExitLocked, "it was not through in "+o.timeout)
	case ctx.Err() != nil:
		err = left(name, last, fault.ExitInterrupted, "the command was interrupted")
	}
	if last.ID == "" {
		return err
	}
	if err == nil && !o.noWait && act != app.ActAbort {
		err = outcome(last)
	}
	return errors.Join(withExitOf(last, err), e.print(last, func(w io.Writer) error { return printRun(w, last) }))
}

var errBegun = errors.New("the run has begun")

// left tells that the gate goes on.
func left(name string, last rotationrun.Entry, exit fault.Exit, why string) error {
	text := why
	if last.ID != "" {
		text += "; the gate goes on with run " + last.ID
	}
	return fault.WithExit(fault.WithHint(fmt.Errorf("following the rotation %q: %s", name, text),
		"`sallyport rotation status "+name+"` shows how far it is, `sallyport rotation abort "+name+"` takes it back"),
		exit)
}

// outcome is the error that a run has come to, where it has come to one.
func outcome(e rotationrun.Entry) error {
	switch e.State { //nolint:exhaustive // the others are no errors
	case rotationrun.StateRolledBack, rotationrun.StateAborted:
		return fault.WithHint(fmt.Errorf("rotating %q: run %s was taken back: %s", e.Name, e.ID, e.LastError), e.Hint)
	case rotationrun.StateStuck:
		return fault.WithHint(fmt.Errorf("rotating %q: run %s is stuck: %s", e.Name, e.ID, e.LastError), e.Hint)
	}
	return nil
}

// withExitOf gives err the exit code of how the run stands, unless it has one of its own.
func withExitOf(e rotationrun.Entry, err error) error {
	switch {
	case err == nil || fault.ExitOf(err) != fault.ExitError:
		return err
	case e.State == rotationrun.StateRolledBack, e.State == rotationrun.StateAborted:
		return fault.WithExit(err, fault.ExitRolledBack)
	case e.State == rotationrun.StateStuck:
		return fault.WithExit(err, fault.ExitStuck)
	}
	return err
}

// printRun says in one line how a run stands, and in others what a person should know.
func printRun(w io.Writer, e rotationrun.Entry) error {
	if _, err := cells(w, "rotation %s, run %s: %s\n", e.Name, e.ID, standing(e)); err != nil {
		return err
	}
	for _, line := range about(e) {
		if _, err := cells(w, "  %s\n", line); err != nil {
			return err
		}
	}
	return nil
}

func standing(e rotationrun.Entry) string {
	switch e.State { //nolint:exhaustive // the others say it themselves
	case rotationrun.StateDone:
		return "done, version " + e.NewVersion + " is current"
	case rotationrun.StateWaiting:
		return "version " + e.NewVersion + " is current everywhere; the old key is kept until nobody needs it"
	case rotationrun.StateRolledBack, rotationrun.StateAborted:
		return string(e.State) + ", the old value stays current"
	}
	return string(e.State) + ", at step " + string(e.Step)
}

func about(e rotationrun.Entry) []string {
	var lines []string
	if len(e.Waiting) > 0 {
		lines = append(lines, "still needed by "+e.StillNeeded())
	}
	if e.Left != "" {
		lines = append(lines, "left: "+e.Left)
	}
	if len(e.Approved) > 0 {
		lines = append(lines, "approved by "+strings.Join(e.Approved, ", "))
	}
	return append(lines, e.Notes...)
}

// watcher prints the steps of a run as they begin. Where nobody looks, it is quiet.
func (e *env) watcher() func(rotationrun.Entry) {
	if !isTerminal(e.Err) {
		return func(rotationrun.Entry) {}
	}
	var step rotationrun.Step
	return func(now rotationrun.Entry) {
		if now.Step != step && now.Step != rotationrun.StepNone {
			step = now.Step
			e.note("%s: %s", string(step), plan.About(step))
		}
	}
}
