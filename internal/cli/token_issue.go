package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/config/wording"
)

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
			named := config.Named{Tokens: args, Services: f.services}
			return e.withNamed(cmd.Context(), named, func(s *app.State) error {
				return e.issue(cmd.Context(), s, args[0], f)
			})
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
			text := fmt.Sprintf("warning: there is no service %q in the configuration yet", one)
			if near := wording.Nearest(one, e.names(ctx, serviceNames)); near != "" {
				text += fmt.Sprintf("; did you mean %q?", near)
			}
			e.note("%s", text)
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
