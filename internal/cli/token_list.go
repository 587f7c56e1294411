package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
)

func (e *env) tokenList() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tokens by generation: state, scope, and when and by which workflow each was last used",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.withHead(cmd.Context(), func(s *app.State) error {
				if err := s.Changed(cmd.Context(), "usage"); err != nil {
					return err
				}
				c, list, err := e.generations(cmd.Context(), s)
				if err != nil {
					return err
				}
				if !all {
					list = inForce(c, list)
				}
				return e.print(withStates(list), func(w io.Writer) error { return tokenTable(w, list) })
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also generations that have ended and were replaced")
	return cmd
}

// generations are all there are, each with the scope that the configuration gives it: what that says of them is read,
// and no more.
func (e *env) generations(ctx context.Context, s *app.State) (*config.Config, []token.Generation, error) {
	list, err := s.Tokens.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	var named config.Named
	for i := range list {
		named.Tokens = append(named.Tokens, list[i].Name)
	}
	c, _, err := e.loadBy(func(kinds config.Kinds, path string) (*config.Config, config.Warnings, error) {
		return config.LoadNamed(kinds, path, named)
	})
	if err != nil {
		return nil, nil, err
	}
	s.Plan(c)
	list, err = s.Tokens.List(ctx)
	return c, list, err
}

// inForce are the generations that are accepted, and the last of a token that has run out.
func inForce(c *config.Config, list []token.Generation) []token.Generation {
	now := time.Now()
	shown := make([]token.Generation, 0, len(list))
	for i := range list {
		g := &list[i]
		_, planned := c.Tokens[g.Name]
		if state := g.State(now); state != token.Expired && state != token.Revoked ||
			app.RunOut(list, g, planned, now) {
			shown = append(shown, *g)
		}
	}
	return shown
}

// generation is a generation with its state spelt out.
type generation struct {
	token.Generation
	State string `json:"state"`
}

func withStates(list []token.Generation) []generation {
	out := make([]generation, 0, len(list))
	for _, g := range list {
		out = append(out, generation{g, g.State(time.Now())})
	}
	return out
}

func tokenTable(w io.Writer, list []token.Generation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "NAME\tGEN\tID\tSTATE\tSERVICES\tCREATED\tENDS\tLAST USED\tBY WORKFLOW")
	for _, g := range list {
		ends := g.Expires
		if ends.IsZero() || !g.RetireAt.IsZero() && g.RetireAt.Before(ends) {
			ends = g.RetireAt
		}
		_, _ = cells(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.Name, g.Number, g.ID, g.State(time.Now()),
			strings.Join(g.Scope.Services, ","), when(g.Created), when(ends), when(g.LastUsed), orDash(users(&g)))
	}
	return t.Flush()
}

// users are the workflows that a generation is shown with: of one that is being replaced every one that used it, the
// latest first, because each of them has to use the new one before the old one ends.
func users(g *token.Generation) string {
	if g.State(time.Now()) != token.Retiring {
		return g.LastWorkflow
	}
	var names []string
	for _, u := range g.Uses {
		names = append(names, cmp.Or(u.Workflow, "(unnamed)"))
	}
	return cmp.Or(strings.Join(names, ", "), g.LastWorkflow)
}
