package gcpsm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"cloud.google.com/go/auth"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// failed names the secret and sorts the reason into the port's vocabulary. What the service wrote stays out of it.
func (s *Store) failed(ctx context.Context, doing, path string, err error) error {
	return fmt.Errorf("%s secret %q in gcpsm: %w", doing, path, s.reason(ctx, err))
}

func (s *Store) reason(ctx context.Context, err error) error {
	var token *tokenError
	var call *callError
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrVersionGone), errors.As(err, new(refusal)):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case errors.As(err, &token):
		return withoutToken(token.error)
	case errors.Is(err, errHalf):
		return unavailable(err.Error(), "it is tried again")
	case isTimeout(err):
		return unavailable("no response in time", "check the network to the service, and `endpoint` of the store")
	case errors.As(err, &call):
		return answered(call.method, status.Convert(call.error))
	}
	return unavailable("no usable response", "check `endpoint` of the store")
}

// withoutToken explains why there is no token to send.
func withoutToken(err error) error {
	answer, answered := errors.AsType[*auth.Error](err)
	switch {
	case answered && answer.Response != nil && answer.Response.StatusCode >= http.StatusInternalServerError:
		return unavailable(fmt.Sprintf("the identity provider answers %d", answer.Response.StatusCode),
			"it fails; it is tried again")
	case !answered && isNetwork(err):
		return unavailable("getting a token: the identity provider cannot be reached",
			"check the network to it, or to the metadata server")
	}
	return denied("no token could be obtained",
		"set GOOGLE_APPLICATION_CREDENTIALS to a key or a federation file, give this machine or pod a service "+
			"account, or `gcloud auth application-default login`")
}

// answered sorts what a call ended with.
func answered(method string, answer *status.Status) error {
	what := "Secret Manager answers " + answer.Code().String()
	switch answer.Code() {
	case codes.NotFound:
		return secret.ErrNotFound
	case codes.PermissionDenied:
		return denied(what, hint(method, answer))
	case codes.Unauthenticated:
		return denied(what,
			"the token is not accepted: `gcloud auth application-default login`, or see that the service account is "+
				"enabled and this machine's clock is right")
	case codes.ResourceExhausted:
		return unavailable(what,
			"its quota of requests is used up for now: it is tried again; raise the quota if that goes on")
	case codes.Unavailable:
		return unavailable(what+nearer(answer.Message()),
			"check the network to the service, and `endpoint` of the store")
	case codes.Unimplemented:
		return unavailable("what answers is not Secret Manager", "check `endpoint` of the store")
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange, codes.AlreadyExists:
		return fault.WithHint(errors.New(what),
			"a value has at most 65536 bytes; a regional endpoint holds its own location's secrets only")
	case codes.OK, codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.Aborted, codes.Internal, codes.DataLoss:
	}
	return unavailable(what, "it fails; it is tried again")
}

// nearer names the cause in a message that this side's transport has written, or the other side may have.
func nearer(message string) string {
	for _, known := range []string{
		"connection refused", "no such host", "network is unreachable",
		"certificate", "connection reset", "EOF",
	} {
		if strings.Contains(message, known) {
			return " (" + known + ")"
		}
	}
	return ""
}

// need is what a method asks of the identity.
type need struct{ permission, role string }

//nolint:gochecknoglobals // a table; never written to
var needs = map[string]need{
	"AccessSecretVersion":  {"secretmanager.versions.access", "roles/secretmanager.secretAccessor"},
	"AddSecretVersion":     {"secretmanager.versions.add", "roles/secretmanager.secretVersionAdder"},
	"CreateSecret":         {"secretmanager.secrets.create", "roles/secretmanager.admin"},
	"DestroySecretVersion": {"secretmanager.versions.destroy", "roles/secretmanager.secretVersionManager"},
	"ListSecretVersions":   {"secretmanager.versions.list", "roles/secretmanager.viewer"},
	"ListSecrets":          {"secretmanager.secrets.list", "roles/secretmanager.viewer"},
}

func hint(method string, answer *status.Status) string {
	for _, detail := range answer.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetReason() == "SERVICE_DISABLED" {
			return "`gcloud services enable secretmanager.googleapis.com` in the project"
		}
	}
	n := needs[method]
	return fmt.Sprintf("grant %s (it has %s) on the secret or its project to this identity; if there is no such "+
		"secret, the response is the same", n.role, n.permission)
}

func unavailable(what, hint string) error {
	return fault.WithExit(fault.WithHint(fmt.Errorf("%w: %s", secret.ErrUnavailable, what), hint), fault.ExitStore)
}

func denied(what, hint string) error {
	return fault.WithHint(fmt.Errorf("%w: %s", secret.ErrDenied, what), hint)
}

func isCode(err error, of ...codes.Code) bool {
	var call *callError
	return errors.As(err, &call) && !errors.As(err, new(*tokenError)) && slices.Contains(of, status.Code(call.error))
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded ||
		errors.As(err, &n) && n.Timeout()
}

func isNetwork(err error) bool {
	return isTimeout(err) || errors.As(err, new(net.Error)) || errors.As(err, new(*url.Error))
}
