package azurekv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// refusal is an error of our own making, from before anything was sent.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// failed names the secret and sorts the reason into the port's vocabulary. What the service wrote stays out of it.
func (s *Store) failed(ctx context.Context, doing, path string, err error) error {
	return fmt.Errorf("%s secret %q in azurekv: %w", doing, path, s.reason(ctx, err))
}

func (s *Store) reason(ctx context.Context, err error) error {
	var answer *azcore.ResponseError
	var token *tokenError
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrVersionGone), errors.Is(err, errEncoding):
		return err
	case errors.As(err, new(refusal)):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case errors.As(err, &token):
		return s.withoutToken(token.error)
	case errors.As(err, &answer):
		return s.answered(answer)
	}
	return unavailable(cause(err), "check the network to "+s.vault+", and `vault_url` of the store")
}

// withoutToken explains why there is no token to send.
func (s *Store) withoutToken(err error) error {
	failed, answered := errors.AsType[*azidentity.AuthenticationFailedError](err)
	switch {
	case answered && failed.RawResponse != nil && failed.RawResponse.StatusCode >= http.StatusInternalServerError:
		return unavailable(fmt.Sprintf("the identity provider answers %d", failed.RawResponse.StatusCode),
			"it fails; it is tried again")
	case !answered && isNetwork(err):
		return unavailable("getting a token: "+cause(err), "check the network to the identity provider")
	}
	return denied("no token could be obtained for the vault",
		"give this machine or pod an identity (AZURE_CLIENT_ID, AZURE_TENANT_ID and a secret or a federated token, "+
			"or a managed identity), or `az login`")
}

// answered sorts an error that the vault sent.
func (s *Store) answered(answer *azcore.ResponseError) error {
	what := "the vault answers " + code(answer)
	switch status := answer.StatusCode; {
	case status == http.StatusNotFound && strings.HasSuffix(answer.ErrorCode, "NotFound"):
		return secret.ErrNotFound
	case status == http.StatusUnauthorized:
		return denied(what,
			"the identity's tenant is not the vault's, or its token is not accepted: check `tenant` of the store")
	case status == http.StatusForbidden:
		return denied(what, s.hint(answer))
	case status == http.StatusConflict:
		return fault.WithHint(errors.New(what),
			"the secret is being deleted, recovered, or managed by a certificate: see `az keyvault secret "+
				"show-deleted`")
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return unavailable(what, "it fails or throttles; it is tried again")
	case status == http.StatusBadRequest && answer.ErrorCode != "":
		return errors.New(what)
	}
	return unavailable("what answers is not a Key Vault", "check `vault_url` of the store")
}

// hint names what is missing, by the request that was refused.
func (s *Store) hint(answer *azcore.ResponseError) string {
	switch inner(answer) {
	case "ForbiddenByFirewall", "ForbiddenByConnection":
		return "the vault's firewall refuses this machine's address: allow it in the vault's networking settings, or " +
			"use its private endpoint"
	}
	role, action := "Key Vault Secrets Officer", ""
	if r := answer.RawResponse; r != nil && r.Request != nil {
		action = actionOf(r.Request)
	}
	if action == "getSecret/action" || action == "readMetadata/action" {
		role = "Key Vault Secrets User"
	}
	return fmt.Sprintf("give this identity the role %q on the vault %s (it has "+
		"Microsoft.KeyVault/vaults/secrets/%s), or that permission in its access policy", role, s.vaultName(), action)
}

// actionOf is the data action that a request needs.
func actionOf(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	listing := len(parts) == 1 || parts[len(parts)-1] == "versions"
	switch deleted := parts[0] == "deletedsecrets"; {
	case r.Method == http.MethodGet && (listing || deleted):
		return "readMetadata/action"
	case r.Method == http.MethodGet:
		return "getSecret/action"
	case r.Method == http.MethodPut:
		return "setSecret/action"
	case r.Method == http.MethodPatch:
		return "update/action"
	case r.Method == http.MethodDelete && deleted:
		return "purge/action"
	case r.Method == http.MethodDelete:
		return "delete"
	}
	return "recover/action"
}

func unavailable(what, hint string) error {
	return fault.WithExit(fault.WithHint(fmt.Errorf("%w: %s", secret.ErrUnavailable, what), hint), fault.ExitStore)
}

func denied(what, hint string) error {
	return fault.WithHint(fmt.Errorf("%w: %s", secret.ErrDenied, what), hint)
}

// code is the answer's status and error codes, as far as they are such: the other side may be anybody.
func code(answer *azcore.ResponseError) string {
	parts := []string{strconv.Itoa(answer.StatusCode)}
	for _, name := range []string{answer.ErrorCode, inner(answer)} {
		if name != "" && len(name) <= 64 && isName(name) {
			parts = append(parts, name)
		}
	}
	return strings.Join(parts, " ")
}

// inner is the nearer code inside the answer's error, such as SecretDisabled.
func inner(answer *azcore.ResponseError) string {
	if answer.RawResponse == nil {
		return ""
	}
	body, err := runtime.Payload(answer.RawResponse)
	if err != nil {
		return ""
	}
	var doc struct {
		Error struct {
			Inner struct {
				Code string `json:"code"`
			} `json:"innererror"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return ""
	}
	return doc.Error.Inner.Code
}

func isInner(err error, codes ...string) bool {
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && slices.Contains(codes, inner(answer))
}

func isStatus(err error, status int) bool {
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && answer.StatusCode == status
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

func isNetwork(err error) bool {
	return isTimeout(err) || errors.As(err, new(net.Error)) || errors.As(err, new(*url.Error))
}

// cause is what can be said of an error without quoting an answer.
func cause(err error) string {
	var op *net.OpError
	switch {
	case isTimeout(err):
		return "no response in time"
	case errors.As(err, &op):
		return op.Error()
	case errors.Is(err, errElsewhere):
		return errElsewhere.Error()
	case errors.As(err, new(*url.Error)):
		return "the connection failed"
	}
	return "no usable response"
}
