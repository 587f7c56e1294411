package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/rotation"
	rotationrun "sallyport/internal/rotation/run"
)

func (e *env) rotationAbort() *cobra.Command {
	var yes bool
	var kind string
	cmd := &cobra.Command{
		Use:   "abort NAME",
		Short: "Take an unfinished rotation back: the new value of a token is refused, that of a secret ended",
		Long: `Takes the unfinished rotation of that name back. Of a proxy token, the new value is refused from now on. Of a secret, the new
key is ended at the provider and the old value stays current; once the new value is current there is no way back. If a token
and a secret of that name have one, --kind says which is meant.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := e.unfinishedKind(cmd.Context(), args[0], kind)
			if err != nil {
				return err
			}
			if kind == kindSecret {
				return e.abortSecret(cmd.Context(), args[0], yes)
			}
			return e.abortToken(cmd.Context(), args[0], yes)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().StringVar(&kind, "kind", "", "what is meant: token or secret (default: the one that is unfinished)")
	return e.waits(cmd)
}

// unfinishedKind finds out what is meant by a name. Where nothing is unfinished it is what there can be.
func (e *env) unfinishedKind(ctx context.Context, name, kind string) (string, error) {
	if kind != "" {
		if kind != kindToken && kind != kindSecret {
			return "", usage(fmt.Errorf("there is no kind %q", kind), "--kind knows token and secret")
		}
		return kind, nil
	}
	err := e.with(ctx, func(s *app.State) error {
		tokens, err := s.Rotations().Journal.List(ctx)
		if err != nil {
			return err
		}
		runs, err := s.RunsOfSecrets(ctx)
		if err != nil {
			return err
		}
		token := slices.ContainsFunc(tokens, func(one rotation.Entry) bool { return one.Name == name })
		secret := slices.ContainsFunc(runs, func(one rotationrun.Entry) bool {
			return one.Name == name && !one.Ended()
		})
		switch {
		case token && secret:
			return fault.WithExit(fault.WithHint(
				fmt.Errorf("aborting %q: a token and a secret have an unfinished rotation of that name", name),
				"--kind token or --kind secret says which is meant"), fault.ExitUsage)
		case token || s.Config.Rotations[name] == nil && !secret:
			kind = kindToken
		default:
			kind = kindSecret
		}
		return nil
	})
	return kind, err
}

func (e *env) abortSecret(ctx context.Context, name string, yes bool) error {
	if !yes {
		err := e.confirm("take the unfinished rotation of secret "+name+" back, and end its new key", name)
		if err != nil {
			return err
		}
	}
	return e.act(ctx, app.ActAbort, name, rotateOptions{})
}

func (e *env) abortToken(ctx context.Context, name string, yes bool) error {
	if !yes {
		if err := e.confirm("refuse the new value of token "+name+" (which n8n may hold already)", name); err != nil {
			return err
		}
	}
	return e.withHead(ctx, func(s *app.State) error {
		if err := record(ctx, s, "rotation.abort", name); err != nil {
			return err
		}
		err := s.AbortRotation(ctx, name)
		if err != nil && fault.ExitOf(err) != fault.ExitUnconfirmed {
			return e.meantToken(ctx, err, name)
		}
		return errors.Join(e.done("aborted", name), err)
	})
}
