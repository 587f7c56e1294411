package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/boundary/consent"
)

func (e *env) serviceConnect() *cobra.Command {
	var o consent.Options
	var noBrowser bool
	cmd := &cobra.Command{
		Use:   "connect NAME",
		Short: "Give a service consent to an account at its provider (OAuth 2.0)",
		Long: `Runs the authorization-code flow with PKCE for a service whose credential is of kind oauth2_refresh_token: opens the
provider's page of consent, waits up to 10 minutes for a person to consent there, keeps what comes of it sealed in the
database, and activates it in the running gate. The tokens are never shown. Where a service has several such credentials, NAME is
SERVICE/N.

The browser comes back to a free port of this machine. A provider that knows redirect URLs to the letter needs one that is
registered there: --redirect-url http://localhost:8473/callback has this command listen on that port, any other URL has to lead
to /oauth/callback or /oauth/callback/NAME of the admin listener of the gate that runs on this data directory. The second is for that
service alone: with a redirect URL for each, no provider can pass its response off as another's.`,
		Example: `  sallyport service connect crm
  sallyport service connect crm --redirect-url http://localhost:8473/callback
  sallyport service connect crm --redirect-url https://sallyport.example.com/oauth/callback/crm`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withService(cmd.Context(), args[0], func(s *app.State) error {
				return e.connect(cmd.Context(), s, args[0], o, noBrowser)
			})
		},
	}
	cmd.Flags().StringVar(&o.RedirectURL, "redirect-url", "",
		"where the provider sends the browser back to, as registered there")
	cmd.Flags().BoolVar(&o.Callback, "callback", false, "come back to the admin listener of the running gate")
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "only print the page's address")
	return cmd
}

func (e *env) connect(ctx context.Context, s *app.State, name string, o consent.Options, noBrowser bool) error {
	c, err := s.Connect(ctx, name, o)
	if err != nil {
		return err
	}
	if err := record(ctx, s, "service.connect", name); err != nil {
		return errors.Join(err, c.Close())
	}
	e.note("open this page and give consent; the browser comes back to %s\n\n  %s\n", c.RedirectURL, c.URL)
	if !noBrowser && isTerminal(e.Err) {
		browse(ctx, c.URL)
	}
	got, err := c.Await(ctx)
	if err != nil {
		return err
	}
	return e.print(got, func(w io.Writer) error {
		_, err := cells(w, "%s is connected\n  scopes         %s\n  token expires  %s; it is refreshed before\n",
			got.Service, orDash(strings.Join(got.Scopes, " ")), got.Expires.Local().Format(time.DateTime))
		return err
	})
}

// browse opens a page where there is a desktop. Where there is none, the address has been printed.
func browse(ctx context.Context, url string) {
	program := "xdg-open"
	switch {
	case runtime.GOOS == "darwin":
		program = "open"
	case os.Getenv("DISPLAY")+os.Getenv("WAYLAND_DISPLAY") == "":
		return
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, url) //nolint:gosec // the address of the page that the person asked for
	if cmd.Start() == nil {
		_ = cmd.Process.Release() // it may become the browser, which outlives this command
	}
}
