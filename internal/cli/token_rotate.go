package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/config/notation"
	"sallyport/internal/rotation"
	"sallyport/internal/rotation/proxytoken"
)

func (e *env) tokenRotate() *cobra.Command {
	var overlap, push string
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Issue the next generation; the old one stays valid for the overlap",
		Long: `Makes the next generation of a token. The old one stays valid for the overlap, so nothing that runs breaks; "token list"
shows when it was last used. Without --push the new token is printed, alone. With --push n8n it is written into n8n's Header
Auth credential as tokens.NAME.rotate.push.n8n says, tested by a call through the gate, and only then the overlap begins; if
n8n refuses, the old token stays valid. A token that has expired is replaced too, and with an entry under tokens in
sallyport.yaml also one that was never issued.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := proxytoken.Rotation{Name: args[0], PushN8N: push == "n8n"}
			if push != "" && push != "n8n" {
				return usage(fmt.Errorf("there is no way to push to %q", push), "--push knows n8n")
			}
			if overlap != "" {
				d, err := notation.ParseDuration(overlap)
				if err != nil {
					return usage(fmt.Errorf("reading --overlap %q: %w", overlap, err), "write it as 30m or 1h")
				}
				r.Overlap = d
			}
			named := config.Named{Tokens: args}
			return e.withNamed(cmd.Context(), named, func(s *app.State) error { return e.rotate(cmd.Context(), s, r) })
		},
	}
	cmd.Flags().StringVar(&overlap, "overlap", "",
		"how long the old generation stays valid (default: as configured, or 1h)")
	cmd.Flags().StringVar(&push, "push", "", "write the new token to its consumer: n8n")
	return e.waits(cmd)
}

func (e *env) rotate(ctx context.Context, s *app.State, r proxytoken.Rotation) error {
	if err := record(ctx, s, "token.rotate", r.Name); err != nil {
		return err
	}
	result, err := s.Rotate(ctx, r)
	if result.ID == "" {
		return e.meantToken(ctx, err, r.Name)
	}
	return errors.Join(e.tellRotated(r, result), err)
}

func (e *env) tellRotated(r proxytoken.Rotation, result rotation.Result) error {
	if r.PushN8N {
		return e.print(map[string]any{"generation": result.ID, "note": result.Note, "resumed": result.Resumed},
			func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "token %s is at generation %s\n%s\n", r.Name, result.ID, result.Note)
				return err
			})
	}
	return e.print(map[string]any{"generation": result.ID, "token": string(result.Value.Reveal())},
		func(w io.Writer) error {
			_, err := fmt.Fprintln(w, string(result.Value.Reveal()))
			return err
		})
}
