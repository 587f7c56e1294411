package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// settled is how young a token must be for a refusal to be the policies' doing without asking further.
const settled = 30 * time.Second

// ask sends r with the session's token. When the token turns out to be expired or revoked, it logs in again, once.
func (s *Store) ask(ctx context.Context, r request) (reply, error) {
	used, err := s.sessions.get(ctx)
	if err != nil {
		return reply{}, err
	}
	answer, err := s.client.send(ctx, r, used.token)
	e, refused := refusal(err)
	if !refused {
		return answer, err
	}
	denied, tokenIsBad := s.examine(ctx, r, used, e)
	if !tokenIsBad {
		return reply{}, denied
	}
	s.sessions.drop(used.number)
	next, err := s.sessions.get(ctx)
	if err != nil {
		return reply{}, err
	}
	if next.number == used.number { // the same given token
		return reply{}, denied
	}
	answer, err = s.client.send(ctx, r, next.token)
	if e, refused := refusal(err); refused {
		denied, _ = s.examine(ctx, r, next, e)
		return reply{}, denied
	}
	return answer, err
}

// refusal returns the answer inside err that refuses the token, for whatever reason.
func refusal(err error) (*answerError, bool) {
	if e, ok := answered(err, http.StatusForbidden); ok {
		return e, true
	}
	return answered(err, http.StatusUnauthorized)
}

// examine finds out whether a refusal is the token's fault, and if not, which capability is missing where.
func (s *Store) examine(ctx context.Context, r request, used session, e *answerError) (denied error, tokenIsBad bool) {
	path, capability := r.needs()
	bad := fault.WithHint(fmt.Errorf("%w: %w", secret.ErrDenied, errBadToken), tokenHint(used))
	if e.says("invalid token") || e.says("bad token") {
		return bad, true
	}
	granted, err := s.client.send(ctx, request{
		method: http.MethodPost, path: "sys/capabilities-self", body: map[string][]string{"paths": {path}},
	}, used.token)
	if err == nil {
		return missing(path, capability, capabilities(granted, path)), false
	}
	e, refused := refusal(err)
	if refused && e.says("invalid token") {
		return bad, true
	}
	// Neither answer tells a token that has ended from one without the default policy: another login is worth a try,
	// but not with each denial.
	return missing(path, capability, nil), refused && (used.given || time.Since(used.since) > settled)
}

func tokenHint(used session) string {
	if used.given {
		return "write a new token to the store's token_file or token_env"
	}
	return "the token was revoked right after the login: see vault's audit log"
}

// needs is the path and the capability that a policy must have for r.
func (r request) needs() (path, capability string) {
	path = strings.Trim(r.path, "/")
	switch {
	case r.query.Get("list") == "true":
		return path + "/", "list"
	case r.method == http.MethodGet:
		return path, "read"
	case r.method == http.MethodDelete:
		return path, "delete"
	case strings.Contains(path, "/destroy/"):
		return path, "update"
	}
	return path, "create and update"
}

// capabilities reads what sys/capabilities-self says of path.
func capabilities(r reply, path string) []string {
	list, ok := r.Data[path].([]any)
	if !ok {
		list, _ = r.Data["capabilities"].([]any)
	}
	names := make([]string, 0, len(list))
	for _, one := range list {
		if name, ok := one.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// missing says which capability the token lacks. granted is nil when that cannot be asked.
func missing(path, capability string, granted []string) error {
	err := fmt.Errorf("%w: no %q on %q", secret.ErrDenied, capability, path)
	wanted := strings.Split(capability, " and ")
	rule := fmt.Sprintf(`path "%s" { capabilities = ["%s"] }`, escape(path), strings.Join(wanted, `", "`))
	switch {
	case granted == nil:
		return fault.WithHint(err, "does a policy of the token have "+rule+" ?")
	case slices.Contains(granted, "root") || !slices.ContainsFunc(wanted, func(w string) bool {
		return !slices.Contains(granted, w)
	}):
		return fault.WithHint(fmt.Errorf("%w: vault refuses %q although the policies grant it", secret.ErrDenied, path),
			"look for parameter constraints in the policy, control groups, and address bounds of the token")
	}
	hint := fmt.Sprintf("the token has %s there; add to one of its policies: %s", strings.Join(granted, ", "), rule)
	for _, part := range []string{"data/", "metadata/"} { // as absent explains it to who may read there
		if mount, rest, twice := strings.Cut(path, "/data/"+part); twice {
			hint = fmt.Sprintf("leave out %q: %q is the path as the vault command takes it; or else %s", part,
				mount+"/"+rest, hint)
		}
	}
	if capability == "list" {
		hint += "; or list what the token may see: `sallyport secret list PREFIX`"
	}
	return fault.WithHint(err, hint)
}

// notFound tells whether err says that nothing is at a path, as opposed to no Vault being there.
func notFound(err error) bool {
	_, ok := answered(err, http.StatusNotFound)
	return ok || errors.Is(err, secret.ErrNotFound)
}
