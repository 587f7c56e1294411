package awssm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// failed names the secret and sorts the reason into the port's vocabulary. What the service wrote stays out of it.
func (s *Store) failed(ctx context.Context, doing, path string, err error) error {
	return fmt.Errorf("%s secret %q in awssm: %w", doing, path, s.reason(ctx, err))
}

func (s *Store) reason(ctx context.Context, err error) error {
	var keys *keysError
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrVersionGone), errors.Is(err, secret.ErrConflict),
		errors.Is(err, errSetup):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case errors.As(err, &keys):
		return s.withoutKeys(keys.error)
	}
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		return answered(err, answer)
	}
	if errors.As(err, new(*smithy.OperationError)) || errors.Is(err, errHalf) || isTimeout(err) {
		return unavailable(cause(err), "check the network, `region` and `endpoint` of the store")
	}
	return err // of our own making: a name that cannot be, a value that is empty
}

// withoutKeys explains why there are no credentials to sign with.
func (s *Store) withoutKeys(err error) error {
	var answer smithy.APIError
	role := s.options.AssumeRole.ARN
	switch {
	case asService(err, "ec2imds"):
		return denied("no AWS credentials were found",
			"set `profile` of the store or AWS_ACCESS_KEY_ID, or give this machine or pod a role")
	case errors.As(err, &answer) && isServers(err, answer):
		return unavailable("STS answers "+code(answer), "AWS itself fails or throttles; it is tried again")
	case errors.As(err, &answer) && role != "":
		return denied(fmt.Sprintf("assuming the role %q: STS answers %s", role, code(answer)),
			"allow sts:AssumeRole on that role to this identity, and this identity (with the external id) in the "+
				"role's trust policy")
	case errors.As(err, &answer):
		return denied("getting AWS credentials: the identity provider answers "+code(answer),
			"`aws sts get-caller-identity` shows whether this identity works")
	case isNetwork(err):
		return unavailable("getting AWS credentials: "+cause(err),
			"check the network to STS or to the identity provider")
	}
	return denied("no AWS credentials could be obtained",
		"`aws sts get-caller-identity` shows why; sign in again, or check `profile` of the store")
}

// hint says what to do about what the service answers, by code.
func hint(code, operation, message string) string {
	switch {
	case strings.Contains(message, "KMS"), code == "DecryptionFailure", code == "EncryptionFailure":
		return "allow kms:Decrypt (and kms:GenerateDataKey for writing) on the secret's KMS key to this identity, " +
			"and see that the key is enabled"
	case strings.Contains(code, "Expired"):
		return "the credentials have expired: sign in again, or give this machine or pod a role that renews itself"
	case code == "RequestTimeTooSkewed", code == "SignatureDoesNotMatch", code == "InvalidSignatureException":
		return "check this machine's clock, and the secret access key"
	case code == "UnrecognizedClientException", code == "InvalidClientTokenId", code == "MissingAuthenticationToken":
		return "the access key is not one of this account's: `aws sts get-caller-identity` shows whether it works"
	case operation == "":
		return "see docs/stores/awssm.md for the policy"
	}
	return fmt.Sprintf("allow secretsmanager:%s on this secret to this identity, see docs/stores/awssm.md for the "+
		"policy", operation)
}

//nolint:gochecknoglobals // a table; never written to
var deniedCodes = []string{
	"AccessDeniedException", "AccessDenied", "DecryptionFailure", "EncryptionFailure",
	"ExpiredTokenException", "ExpiredToken",
	"IncompleteSignature", "IncompleteSignatureException", "InvalidClientTokenId", "InvalidSignatureException",
	"MissingAuthenticationToken",
	"MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired", "RequestExpired", "RequestTimeTooSkewed",
	"SignatureDoesNotMatch",
	"UnauthorizedOperation", "UnrecognizedClientException",
}

// answered sorts an error that the service sent.
func answered(err error, answer smithy.APIError) error {
	name := code(answer)
	switch status := statusOf(err); {
	case name == "ResourceNotFoundException":
		return secret.ErrNotFound
	case name == "LimitExceededException":
		return fault.WithHint(errors.New("a quota of Secrets Manager is reached"),
			"a secret has about a hundred versions and an account half a million secrets: see its quotas page")
	case isServers(err, answer):
		return unavailable("Secrets Manager answers "+name, "it fails or throttles; it is tried again")
	case slices.Contains(deniedCodes, name), status == 401, status == 403:
		return denied("Secrets Manager answers "+name, hint(name, operationOf(err), answer.ErrorMessage()))
	case status >= 300 && status < 400, !isOurs(name):
		return unavailable("what answers is not Secrets Manager", "check `endpoint` of the store")
	}
	return fmt.Errorf("Secrets Manager answers %s", code(answer)) //nolint:staticcheck // a name
}

// isOurs tells the codes of the service, which all say Exception, from what other servers answer.
func isOurs(code string) bool { return strings.HasSuffix(code, "Exception") }

// isServers tells answers that blame the server: worth another try, later.
func isServers(err error, answer smithy.APIError) bool {
	_, throttled := retry.DefaultThrottleErrorCodes[answer.ErrorCode()]
	return throttled || statusOf(err) >= 500 || answer.ErrorCode() == "InternalServiceError" ||
		answer.ErrorCode() == "RequestTimeout"
}

func unavailable(what, hint string) error {
	return fault.WithExit(fault.WithHint(fmt.Errorf("%w: %s", secret.ErrUnavailable, what), hint), fault.ExitStore)
}

func denied(what, hint string) error {
	return fault.WithHint(fmt.Errorf("%w: %s", secret.ErrDenied, what), hint)
}

// code is the answer's error code, as far as it is one: the other side may be anybody.
func code(answer smithy.APIError) string {
	name := answer.ErrorCode()
	bad := strings.ContainsFunc(name, func(r rune) bool { return !isAlphanumeric(r) && r != '.' && r != '_' })
	if name == "" || len(name) > 64 || bad {
		return "an error without a code"
	}
	return name
}

func isCode(err error, codes ...string) bool {
	var answer smithy.APIError
	return errors.As(err, &answer) && slices.Contains(codes, answer.ErrorCode())
}

func messageHas(err error, parts ...string) bool {
	var answer smithy.APIError
	return errors.As(err, &answer) && slices.ContainsFunc(parts, func(p string) bool {
		return strings.Contains(answer.ErrorMessage(), p)
	})
}

// isDeleted tells the refusal to work on a secret within its recovery window, or still being deleted.
func isDeleted(err error) bool {
	return isCode(err, "InvalidRequestException") && messageHas(err, "delet")
}

func isExpired(err error) bool {
	return isCode(err, "ExpiredTokenException", "ExpiredToken", "RequestExpired")
}

func statusOf(err error) int {
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return resp.HTTPStatusCode()
	}
	return 0
}

func operationOf(err error) string {
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		return op.Operation()
	}
	return ""
}

func asService(err error, service string) bool {
	for op := (*smithy.OperationError)(nil); errors.As(err, &op); err = op.Unwrap() {
		if op.Service() == service {
			return true
		}
	}
	return false
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
	case errors.As(err, new(*url.Error)):
		return "the connection failed"
	}
	return "no usable response"
}
