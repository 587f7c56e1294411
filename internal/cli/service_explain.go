package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

func (e *env) serviceExplain() *cobra.Command {
	var id, source string
	cmd := &cobra.Command{
		Use:     "explain NAME METHOD PATH",
		Short:   "Say what would happen to a request and which rule decides, without calling anything",
		Example: "  sallyport service explain openai POST /v1/chat/completions --token n8n",
		Args:    cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			read := serviceAlone(args[0])
			// what the configuration says of its token, which an id does not name, is a part of the answer
			if id != "" {
				read = config.Load
			}
			return e.withBy(cmd.Context(), read, func(s *app.State) error {
				verdict, err := e.explain(cmd.Context(), s,
					question{args[0], strings.ToUpper(args[1]), args[2], id, source})
				if err != nil {
					return err
				}
				return errors.Join(e.print(verdict, verdict.tell), verdict.exit())
			})
		},
	}
	cmd.Flags().StringVar(&id, "token", "", "a token's name or generation id: its scope is looked at too")
	cmd.Flags().StringVar(&source, "from", "127.0.0.1", "the address that the request comes from")
	return cmd
}

type question struct{ service, method, target, token, source string }

// explanation is what explain found out.
type explanation struct {
	Allowed    bool       `json:"allowed"`
	Rule       string     `json:"rule"`
	Code       fault.Code `json:"code,omitempty"`
	Why        string     `json:"why,omitempty"`
	Method     string     `json:"method"`
	Upstream   string     `json:"upstream"`
	Credential string     `json:"credential"`
	Token      string     `json:"token,omitempty"`
}

func (e *env) explain(ctx context.Context, s *app.State, q question) (*explanation, error) {
	c, ok := s.Config.Services[q.service]
	if !ok {
		return nil, service.Unknown(s.Config, q.service)
	}
	svc, err := service.New(q.service, c)
	if err != nil {
		return nil, err
	}
	address, err := netip.ParseAddr(q.source)
	if err != nil {
		return nil, usage(fmt.Errorf("reading --from %q: it is not an address", q.source), "write it as 10.1.2.3")
	}
	path, query, _ := strings.Cut(q.target, "?")
	x := &explanation{
		Method: q.method, Upstream: svc.Scheme + "://" + svc.Host + svc.BasePath + path,
		Credential: lineOf(q.service, c).Credential,
	}
	var grant boundary.Scope = anyone{}
	if q.token != "" {
		g, err := scopeOf(ctx, s, q.token)
		if err != nil {
			return nil, err
		}
		grant, x.Token = g.Scope, g.Name+" generation "+fmt.Sprint(g.Number)+", "+g.State(time.Now())
	}
	rule, f := boundary.Authorise(grant, svc, &boundary.View{
		Method: q.method, Service: q.service, Path: path, RawQuery: query,
		Header: boundary.NetHTTP(http.Header{}), Source: address,
	})
	x.Rule, x.Allowed = rule, f == nil
	if f != nil {
		x.Code, x.Why = f.Code, f.Message
	}
	return x, nil
}

// anyone is a token whose scope is not asked about.
type anyone struct{}

// Allows implements boundary.Scope.
func (anyone) Allows(string, string, netip.Addr) (bool, string) { return true, "" }

// scopeOf finds a generation by id, or the newest of a name.
func scopeOf(ctx context.Context, s *app.State, nameOrID string) (token.Generation, error) {
	list, err := s.Tokens.List(ctx)
	if err != nil {
		return token.Generation{}, err
	}
	for _, g := range list {
		if g.ID == nameOrID || g.Name == nameOrID {
			return g, nil
		}
	}
	var names []string
	for _, g := range list {
		names = append(names, g.Name)
	}
	err = fault.WithHint(fmt.Errorf("there is no token %q", nameOrID),
		"`sallyport token list --all` shows names and ids")
	return token.Generation{}, meant(err, nameOrID, names)
}

func (x *explanation) tell(w io.Writer) error {
	answer := "allowed"
	if !x.Allowed {
		answer = "refused: " + string(x.Code) + ", " + x.Why
	}
	_, _ = fmt.Fprintf(w, "%s\n  decided by  %s\n  would call  %s %s\n  injecting   %s\n", answer, x.Rule, x.Method,
		x.Upstream, x.Credential)
	if x.Token != "" {
		_, _ = fmt.Fprintf(w, "  token       %s\n", x.Token)
	}
	return nil
}

// exit makes scripts see a refusal.
func (x *explanation) exit() error {
	if x.Allowed {
		return nil
	}
	return fault.WithExit(errors.New("the request would be refused"), fault.ExitFindings)
}
