package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/rotation"
)

// topicTokens is what a change of a token is announced as.
const topicTokens = "tokens"

func (e *env) token() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Issue, list, rotate and revoke proxy tokens", Args: cobra.NoArgs, RunE: help}
	cmd.AddCommand(e.tokenIssue(), e.tokenList(), e.tokenScope(), e.tokenRotate(), e.tokenRevoke())
	return cmd
}

// scopeFlags are the scope of a token as flags.
type scopeFlags struct {
	services, methods, from []string
	expires                 string
}

func (f *scopeFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.services, "services", nil, "services it may call, or * for all")
	cmd.Flags().StringSliceVar(&f.methods, "methods", nil, "methods it may use (default: all)")
	cmd.Flags().StringSliceVar(&f.from, "from", nil, "networks it may come from, such as 10.0.0.0/8 (default: anywhere)")
}

func (e *env) tokenIssue() *cobra.Command {
	var f scopeFlags
	cmd := &cobra.Command{
		Use:   "issue NAME",
		Short: "Issue a token and print it, this once",
		Long: `Issues a proxy token and prints it alone on standard output. It is stored as a keyed hash only, so it cannot be shown
again. When sallyport.yaml has an entry for NAME under tokens, the scope stands there and the flags are not allowed.`,
		Example: "  sallyport token issue n8n --services openai,lark --expires 90d",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.with(cmd.Context(), func(s *app.State) error { return e.issue(cmd.Context(), s, args[0], f) })
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&f.expires, "expires", "", "life time, such as 24h or 90d (default: until revoked)")
	return e.waits(cmd)
}

func (e *env) issue(ctx context.Context, s *app.State, name string, f scopeFlags) error {
	scope, life, err := f.scope(e, s.Config, name)
	if err != nil {
		return err
	}
	for _, one := range scope.Services {
		if _, ok := s.Config.Services[one]; !ok && one != "*" {
			e.note("warning: there is no service %q in the configuration yet", one)
		}
	}
	if err := record(ctx, s, "token.issue", name); err != nil {
		return err
	}
	var expires time.Time
	if life > 0 {
		expires = time.Now().Add(life)
	}
	value, g, err := s.Tokens.Issue(ctx, name, scope, expires)
	if err != nil {
		return err
	}
	err = s.Changed(ctx, topicTokens)
	if late, ok := errors.AsType[*app.UnconfirmedError](err); ok {
		// It is no error: nothing is less safe, and a script that asks for a token has one.
		e.note("warning: %s", strings.ReplaceAll(late.Error(), "\n", "; "))
		err = nil
	}
	return errors.Join(err, e.show(string(value.Reveal()), g))
}

// show prints a new token: the one place where its value is written.
func (e *env) show(value string, g token.Generation) error {
	return e.print(struct {
		Token string `json:"token"`
		token.Generation
	}{value, g}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, value)
		return err
	})
}

// scope is what the configuration says of name, or else the flags.
func (f scopeFlags) scope(e *env, c *config.Config, name string) (token.Scope, time.Duration, error) {
	if t, ok := c.Tokens[name]; ok {
		if len(f.services)+len(f.methods)+len(f.from) > 0 || f.expires != "" {
			return token.Scope{}, 0, usage(fmt.Errorf("the scope of token %q stands in the configuration", name), "edit tokens."+name+" there, or leave the flags out")
		}
		return app.ScopeOf(t), t.Expires, nil
	}
	if len(f.services) == 0 {
		return token.Scope{}, 0, usage(errors.New("a token without services can do nothing"), "add --services a,b, or an entry under tokens in sallyport.yaml")
	}
	scope := token.Scope{Services: f.services}
	for _, m := range f.methods {
		m = strings.ToUpper(m)
		if doubt, hint := config.MethodDoubt(m); doubt != "" {
			e.note("warning: --methods %s; %s", doubt, hint)
		}
		scope.Methods = append(scope.Methods, m)
	}
	for _, text := range f.from {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return token.Scope{}, 0, usage(fmt.Errorf("reading --from %q: it is not a network", text), "write it as 10.0.0.0/8")
		}
		scope.From = append(scope.From, p.Masked())
	}
	if f.expires == "" {
		return scope, 0, nil
	}
	life, err := config.ParseDuration(f.expires)
	if err != nil {
		return token.Scope{}, 0, usage(fmt.Errorf("reading --expires %q: %w", f.expires, err), "write it as 24h or 90d")
	}
	return scope, life, nil
}

func (e *env) tokenList() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tokens by generation: state, scope, and when and by which workflow each was last used",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.with(cmd.Context(), func(s *app.State) error {
				if err := s.Changed(cmd.Context(), "usage"); err != nil {
					return err
				}
				list, err := s.Tokens.List(cmd.Context())
				if err != nil {
					return err
				}
				if !all {
					list = inForce(s.Config, list)
				}
				return e.print(generations(list), func(w io.Writer) error { return tokenTable(w, list) })
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also generations that have ended and were replaced")
	return cmd
}

// inForce are the generations that are accepted, and the last of a token that has run out.
func inForce(c *config.Config, list []token.Generation) []token.Generation {
	now := time.Now()
	shown := make([]token.Generation, 0, len(list))
	for i := range list {
		g := &list[i]
		_, planned := c.Tokens[g.Name]
		if state := g.State(now); state != token.Expired && state != token.Revoked || app.RunOut(list, g, planned, now) {
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

func generations(list []token.Generation) []generation {
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

// users are the workflows that a generation is shown with: of one that is being replaced every one that used it, the latest
// first, because each of them has to use the new one before the old one ends.
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

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (e *env) tokenScope() *cobra.Command {
	var f scopeFlags
	cmd := &cobra.Command{
		Use:   "scope NAME",
		Short: "Give a token another scope, also a wider one",
		Long: `Gives every active generation of a token this scope; methods and networks that are not named are not limited. When
sallyport.yaml has an entry for NAME under tokens, the scope stands there. What an entry has narrowed stays narrow when the entry is
gone, until this command widens it.`,
		Example: "  sallyport token scope n8n --services openai,lark --from 10.0.0.0/8",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.with(cmd.Context(), func(s *app.State) error { return e.setScope(cmd.Context(), s, args[0], f) })
		},
	}
	f.flags(cmd)
	return cmd
}

func (e *env) setScope(ctx context.Context, s *app.State, name string, f scopeFlags) error {
	if _, ok := s.Config.Tokens[name]; ok {
		return usage(fmt.Errorf("the scope of token %q stands in the configuration", name), "edit tokens."+name+" there")
	}
	scope, _, err := f.scope(e, s.Config, name)
	if err != nil {
		return err
	}
	if err := record(ctx, s, "token.scope", name+" "+scope.String()); err != nil {
		return err
	}
	n, err := s.Tokens.SetScope(ctx, name, scope)
	if err != nil {
		return err
	}
	if err := s.Changed(ctx, topicTokens); err != nil {
		return err
	}
	return e.print(map[string]any{"token": name, "generations": n, "scope": scope}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "token %s has the scope %s\n", name, scope)
		return err
	})
}

func (e *env) tokenRotate() *cobra.Command {
	var overlap, push string
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Issue the next generation; the old one stays valid for the overlap",
		Long: `Makes the next generation of a token. The old one stays valid for the overlap, so nothing that runs breaks; "token list"
shows when it was last used. Without --push the new token is printed, alone. With --push n8n it is written into n8n's Header
Auth credential as tokens.NAME.rotate.push.n8n says, tested by a call through the gate, and only then the overlap begins; if
n8n refuses, the old token stays in force. A token that has expired is replaced too, and with an entry under tokens in
sallyport.yaml also one that was never issued.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := app.Rotation{Name: args[0], PushN8N: push == "n8n"}
			if push != "" && push != "n8n" {
				return usage(fmt.Errorf("there is no way to push to %q", push), "--push knows n8n")
			}
			if overlap != "" {
				d, err := config.ParseDuration(overlap)
				if err != nil {
					return usage(fmt.Errorf("reading --overlap %q: %w", overlap, err), "write it as 30m or 1h")
				}
				r.Overlap = d
			}
			return e.with(cmd.Context(), func(s *app.State) error { return e.rotate(cmd.Context(), s, r) })
		},
	}
	cmd.Flags().StringVar(&overlap, "overlap", "", "how long the old generation stays valid (default: as configured, or 1h)")
	cmd.Flags().StringVar(&push, "push", "", "write the new token to its consumer: n8n")
	return e.waits(cmd)
}

func (e *env) rotate(ctx context.Context, s *app.State, r app.Rotation) error {
	if err := record(ctx, s, "token.rotate", r.Name); err != nil {
		return err
	}
	result, err := s.Rotate(ctx, r)
	if result.ID == "" {
		return err
	}
	return errors.Join(e.tellRotated(r, result), err)
}

func (e *env) tellRotated(r app.Rotation, result rotation.Result) error {
	if r.PushN8N {
		return e.print(map[string]any{"generation": result.ID, "note": result.Note, "resumed": result.Resumed}, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "token %s is at generation %s\n%s\n", r.Name, result.ID, result.Note)
			return err
		})
	}
	return e.print(map[string]any{"generation": result.ID, "token": string(result.Value.Reveal())}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, string(result.Value.Reveal()))
		return err
	})
}

func (e *env) tokenRevoke() *cobra.Command {
	return e.waits(&cobra.Command{
		Use:   "revoke NAME|ID",
		Short: "End a token at once: every generation of a name, or the one of an id",
		Long: `Ends every generation of a name, or the one of an id, and returns when every replica refuses it and has ended its open streams
and sockets. Replicas that did not confirm that in time are named, with exit code 13: the token is revoked, and such a replica
accepts it until it can read the database again, at most for as long as revocation.max_stale. One that has not been seen for
that long accepts no token any more, and is not waited for.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withHead(cmd.Context(), func(s *app.State) error {
				if err := record(cmd.Context(), s, "token.revoke", args[0]); err != nil {
					return err
				}
				n, err := s.Tokens.Revoke(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				unheard := s.Changed(cmd.Context(), topicTokens)
				if unheard != nil && fault.ExitOf(unheard) != fault.ExitUnconfirmed {
					unheard = fault.WithHint(unheard, "the token is revoked in the database; stop the gate if it does not take notice")
				}
				return errors.Join(e.print(map[string]int{"revoked": n}, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s revoked\n", counted(n, "generation"))
					return err
				}), unheard)
			})
		},
	})
}
