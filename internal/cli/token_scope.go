package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/config/notation"
)

// scopeFlags are the scope of a token as flags.
type scopeFlags struct {
	services, methods, from []string
	expires                 string
}

func (f *scopeFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.services, "services", nil, "services it may call, or * for all")
	cmd.Flags().StringSliceVar(&f.methods, "methods", nil, "methods it may use (default: all)")
	cmd.Flags().StringSliceVar(&f.from, "from", nil,
		"networks it may come from, such as 10.0.0.0/8 (default: anywhere)")
}

// scope is what the configuration says of name, or else the flags.
func (f scopeFlags) scope(e *env, c *config.Config, name string) (token.Scope, time.Duration, error) {
	if t, ok := c.Tokens[name]; ok {
		if len(f.services)+len(f.methods)+len(f.from) > 0 || f.expires != "" {
			return token.Scope{}, 0, usage(fmt.Errorf("the scope of token %q stands in the configuration", name),
				"edit tokens."+name+" there, or leave the flags out")
		}
		return app.ScopeOf(t), t.Expires, nil
	}
	if len(f.services) == 0 {
		return token.Scope{}, 0, usage(errors.New("a token without services can do nothing"),
			"add --services a,b, or an entry under tokens in sallyport.yaml")
	}
	scope := token.Scope{Services: f.services}
	for _, m := range f.methods {
		m = strings.ToUpper(m)
		if doubt, hint := notation.MethodDoubt(m); doubt != "" {
			e.note("warning: --methods %s; %s", doubt, hint)
		}
		scope.Methods = append(scope.Methods, m)
	}
	for _, text := range f.from {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return token.Scope{}, 0, usage(fmt.Errorf("reading --from %q: it is not a network", text),
				"write it as 10.0.0.0/8")
		}
		scope.From = append(scope.From, p.Masked())
	}
	if f.expires == "" {
		return scope, 0, nil
	}
	life, err := notation.ParseDuration(f.expires)
	if err != nil {
		return token.Scope{}, 0, usage(fmt.Errorf("reading --expires %q: %w", f.expires, err), "write it as 24h or 90d")
	}
	return scope, life, nil
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
			named := config.Named{Tokens: args}
			return e.withNamed(cmd.Context(), named, func(s *app.State) error {
				return e.setScope(cmd.Context(), s, args[0], f)
			})
		},
	}
	f.flags(cmd)
	return cmd
}

func (e *env) setScope(ctx context.Context, s *app.State, name string, f scopeFlags) error {
	if _, ok := s.Config.Tokens[name]; ok {
		return usage(fmt.Errorf("the scope of token %q stands in the configuration", name),
			"edit tokens."+name+" there")
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
		return e.meantToken(ctx, err, name)
	}
	if err := s.Changed(ctx, topicTokens); err != nil {
		return err
	}
	return e.print(map[string]any{"token": name, "generations": n, "scope": scope}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "token %s has the scope %s\n", name, scope)
		return err
	})
}
