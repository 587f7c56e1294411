package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// answerError is an answer of Vault that says no. Its text is ours: Vault's own may quote what it was sent.
type answerError struct {
	status int
	reply  reply
}

// Error tells the status only.
func (e *answerError) Error() string {
	return fmt.Sprintf("vault answered %d (%s)", e.status, strings.ToLower(http.StatusText(e.status)))
}

// says tells whether one of Vault's own reasons contains text.
func (e *answerError) says(text string) bool {
	for _, reason := range e.reply.Errors {
		if strings.Contains(reason, text) {
			return true
		}
	}
	return false
}

// answered returns the answer inside err if it has the status.
func answered(err error, status int) (*answerError, bool) {
	var e *answerError
	return e, errors.As(err, &e) && e.status == status
}

var (
	errBadToken    = errors.New("vault does not know the token, or not any more")
	errUnversioned = fault.WithHint(errors.New("KV version 1 keeps no versions"),
		"`vault kv enable-versioning <mount>` turns it into version 2")
	errNotKV = fault.WithHint(
		errors.New("the secrets engine there is not KV, and cannot be written to from here"),
		"name a path in a KV engine")
	errTooLarge = fault.WithHint(errors.New("the value is too large for this vault"),
		"see max_request_size and max_json_string_value_length of its listener, and max_entry_size of its storage")
	errEmpty = fault.WithHint(errors.New("the value is empty"), "`sallyport secret delete` removes a secret")
	errPath  = fault.WithHint(errors.New("the path cannot be used"),
		"write <mount>/<path> as the vault command takes it, such as secret/prod/stripe, without dot segments, empty "+
			"segments and control characters")
)

func unavailable(what, hint string) error {
	return fault.WithHint(fmt.Errorf("%w: %s", secret.ErrUnavailable, what), hint)
}

// explain sorts an answer that says no into the port's vocabulary. A denial is explained where the token is known.
func explain(err error) error {
	var e *answerError
	if !errors.As(err, &e) || sorted(err) {
		return err
	}
	sentinel, hint := secret.ErrUnavailable, "see vault's own log"
	switch e.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		sentinel, hint = secret.ErrDenied, "see which policies the token or role has"
	case http.StatusNotFound:
		return explainNotFound(e)
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return explainBadRequest(e)
	case http.StatusInternalServerError:
		if e.says("too large") || e.says("exceeds allowed") { // limits come as errors of the server
			return errTooLarge
		}
	case http.StatusMethodNotAllowed:
		return fault.WithHint(errors.New("vault does not do that at this path"),
			"see `kv` of the store, and `vault secrets list -detailed`")
	case http.StatusTooManyRequests:
		hint = "vault limits how often it is asked: see its rate limit quotas"
	case http.StatusPreconditionFailed:
		hint = "this node of vault is behind the active one: it catches up by itself"
	case 472, 473:
		hint = "this node of vault is a standby that serves nobody: give the address of the active one"
	case http.StatusNotImplemented:
		hint = "vault is not initialized: `vault operator init`"
	case http.StatusServiceUnavailable:
		hint = "vault is sealed or starting: `vault status`, then `vault operator unseal`"
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		hint = "what stands in front of vault does not reach it"
	}
	return fault.WithHint(fmt.Errorf("%w: %w", sentinel, e), hint)
}

// sorted tells whether err is of the port's vocabulary already.
func sorted(err error) bool {
	return errors.Is(err, secret.ErrNotFound) || errors.Is(err, secret.ErrVersionGone) ||
		errors.Is(err, secret.ErrDenied) ||
		errors.Is(err, secret.ErrConflict) || errors.Is(err, secret.ErrUnavailable)
}

func explainNotFound(e *answerError) error {
	if e.says("no handler for route") {
		return fault.WithHint(secret.ErrNotFound,
			"no secrets engine is mounted there: see `vault secrets list`, and `namespace` of the store")
	}
	return secret.ErrNotFound
}

func explainBadRequest(e *answerError) error {
	switch {
	case e.says("check-and-set parameter did not match"):
		return secret.ErrConflict
	case e.status == http.StatusRequestEntityTooLarge, e.says("too large"), e.says("exceed"):
		return errTooLarge
	case e.says("sent an HTTP request to an HTTPS server"):
		return unavailable("vault speaks TLS there", "write the address with https://")
	}
	return fault.WithHint(fmt.Errorf("%w: %w", secret.ErrUnavailable, e),
		"see vault's own log, and whether `kv` of the store is right")
}

// failed names the secret and sorts the reason: the end of the caller's context is told as such, and an answer of the
// port's vocabulary stays what it is.
func (s *Store) failed(ctx context.Context, doing, path string, err error) error {
	err = explain(err)
	switch {
	case sorted(err) && !errors.Is(err, secret.ErrUnavailable):
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, context.DeadlineExceeded) && !sorted(err):
		err = fault.WithExit(unavailable("vault did not answer in time",
			"is vault overloaded, or the network to "+s.client.base.Redacted()+" slow?"), fault.ExitStore)
	case errors.Is(err, secret.ErrUnavailable):
		err = fault.WithExit(err, fault.ExitStore)
	}
	return fmt.Errorf("%s %q in vault: %w", doing, path, err)
}
