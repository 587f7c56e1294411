package api

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"sallyport/internal/fault"
)

// statusError is an answer of n8n that is not 2xx. Of what n8n said it keeps the reason alone, chosen from a fixed
// list: n8n's own words may quote the request, and the request carries the value.
type statusError struct {
	status int
	reason string
}

func (e *statusError) Error() string {
	if e.reason == "" {
		return fmt.Sprintf("n8n answered %d", e.status)
	}
	return fmt.Sprintf("n8n answered %d (%s)", e.status, e.reason)
}

// Refused tells that n8n took nothing: it said no to the request as such, or has not seen it (a redirect is not
// followed). Any other status proves nothing.
func (e *statusError) Refused() bool {
	switch e.status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed:
		return true
	default:
		return e.status/100 == 3
	}
}

// notSentError is an error from before the value was on its way.
type notSentError struct{ error }

// Refused tells that n8n cannot have the value.
func (notSentError) Refused() bool { return true }

// Unwrap returns what went wrong.
func (e notSentError) Unwrap() error { return e.error }

// neverConnected tells whether err is from before a request could be written.
func neverConnected(err error) bool {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &certificate)
}

// The reasons behind a 400 that n8n 2.41.1 is known to give.
const (
	reasonField = "it does not know one of the fields"
	reasonName  = "the credential's name is shorter than 3 characters"
)

func newStatusError(status int, answer []byte) error {
	err := &statusError{status: status, reason: reasonOf(answer)}
	if hint := hintFor(err); hint != "" {
		return fault.WithHint(err, hint)
	}
	return err
}

func reasonOf(answer []byte) string {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(answer, &said) != nil {
		return ""
	}
	switch {
	case strings.Contains(said.Message, "not allowed to have the additional property"):
		return reasonField
	case strings.Contains(said.Message, "name must be 3 to 128 characters"):
		return reasonName
	default:
		return ""
	}
}

func hintFor(e *statusError) string {
	switch {
	case e.status == http.StatusUnauthorized:
		return "the API key is wrong, expired or deleted: make one in n8n (Settings, API) with the single scope " +
			"credential:update"
	case e.status == http.StatusForbidden:
		return "the API key lacks the scope credential:update, or its owner does not own the credential"
	case e.status == http.StatusNotFound:
		return "there is no such credential for the owner of this API key, or n8n's public API is switched off " +
			"(N8N_PUBLIC_API_DISABLED)"
	case e.status/100 == 3:
		return "n8n answered with a redirect, which is not followed: set `url` to the address it leads to"
	case e.reason == reasonName:
		return "give the credential a name of at least 3 characters in n8n"
	case e.reason == reasonField:
		return "the credential is probably not of the type Header Auth"
	case e.status >= http.StatusInternalServerError:
		return "n8n's own log says why"
	default:
		return ""
	}
}

func isStatus(err error, status int) bool {
	var e *statusError
	return errors.As(err, &e) && e.status == status
}

// isTooOld tells n8n before 2.3, which has no PATCH for credentials and answers 405.
func isTooOld(err error) bool { return isStatus(err, http.StatusMethodNotAllowed) }

// isUnknownField tells n8n that does not know the lock, or a credential of another type.
func isUnknownField(err error) bool {
	var e *statusError
	return errors.As(err, &e) && e.status == http.StatusBadRequest && e.reason == reasonField
}
