package derive

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/fault"
)

// How long a failure is told again without trying: growing by half to double with each, and no longer than the provider
// asks for, within a limit.
const (
	firstDelay    = time.Second
	longestDelay  = 30 * time.Second
	maxRetryAfter = 5 * time.Minute
)

// failure is what went wrong last. It does not change.
type failure struct {
	fault *fault.Fault
	delay time.Duration
	until time.Time
}

// next is the failure that follows f, which may be nil.
func (f *failure) next(name string, err error) *failure {
	delay := firstDelay
	if f != nil {
		delay = min(2*f.delay, longestDelay)
	}
	n := &failure{fault: faultOf(name, err), delay: delay}
	wait := time.Duration(float64(delay) * (0.8 + 0.4*jitter()))
	if failed, ok := errors.AsType[*EndpointError](err); ok {
		wait = max(wait, min(failed.RetryAfter, maxRetryAfter))
	}
	n.until = time.Now().Add(wait)
	return n
}

// tell is the fault as of now, for one caller.
func (f *failure) tell(now time.Time) *fault.Fault {
	own := *f.fault
	left := max(f.until.Sub(now), 0)
	return own.WithRetryAfter(max((left + time.Second - 1).Truncate(time.Second), time.Second))
}

// faultOf puts what went wrong into the taxonomy. No text of it comes from a response but the provider's error code.
func faultOf(name string, err error) *fault.Fault {
	connect := "run `sallyport service connect " + name + "`"
	var (
		f       *fault.Fault
		gone    *reconnectError
		refusal *EndpointError
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &gone) && gone.never:
		return fault.New(fault.CredentialMissing,
			"the service is not connected: "+gone.reason).WithHint(connect).Wrap(err)
	case errors.As(err, &gone):
		return fault.New(fault.CredentialRejected, gone.reason).WithHint(connect + " to give consent again").Wrap(err)
	case errors.As(err, &refusal):
		f = fault.New(fault.CredentialMintFailed, refusal.Error()).WithDetails(refusal.Code).Wrap(err)
		if hint := hintFor(refusal); hint != "" {
			f = f.WithHint(hint)
		}
		return f
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.CredentialMintFailed, "the token could not be obtained in time").Wrap(err)
	}
	return fault.New(fault.CredentialMintFailed, "the request for a token could not be made").Wrap(err)
}

func hintFor(e *EndpointError) string {
	switch e.Code {
	case "invalid_client", "unauthorized_client":
		return "check the client's id, its secret or key, and `auth` against what the provider has"
	case "invalid_scope":
		return "check `scopes` against what the provider has granted the client"
	case "invalid_grant":
		return "check issuer, subject, audience and key of the assertion, and this machine's clock"
	case "unsupported_grant_type", "invalid_request":
		return "check the credential's kind, and `params`, against the provider's documentation"
	}
	switch {
	case e.Status == 0:
		return "check the token endpoint's URL, and that this machine can reach it"
	case e.Code == "" && e.Status >= 500, e.Status == 429:
		return "the provider is overloaded or down: it is asked again by itself"
	}
	return ""
}
