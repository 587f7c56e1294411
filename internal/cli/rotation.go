package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	rotationrun "sallyport/internal/rotation/run"
)

func (e *env) rotation() *cobra.Command {
	return group("rotation", "Look at rotations of secrets and proxy tokens, go on with them, and take them back",
		e.rotationList(), e.rotationStatus(), e.rotationHistory(), e.rotationApprove(), e.rotationResume(),
		e.rotationAbort(), e.rotationTest(), e.rotationSweep())
}

// hasRotation tells whether the configuration on disk has a rotation.
func (e *env) hasRotation(name string) bool {
	c, _, err := e.load()
	return err != nil || c.Rotations[name] != nil
}

// runsOf are the runs of a rotation, oldest first. That it has none is an error, unless it is in the configuration.
func (e *env) runsOf(ctx context.Context, name string) (runs []rotationrun.Entry, err error) {
	err = e.with(ctx, func(s *app.State) error {
		all, err := s.RunsOfSecrets(ctx)
		runs = slices.DeleteFunc(all, func(one rotationrun.Entry) bool { return one.Name != name })
		if err == nil && len(runs) == 0 && s.Config.Rotations[name] == nil {
			err = fault.WithExit(fault.WithHint(fmt.Errorf("there is no rotation %q", name),
				"`sallyport rotation list` shows what there is"), fault.ExitUsage)
		}
		return err
	})
	return runs, err
}
