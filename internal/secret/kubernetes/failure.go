package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// answerError is an answer of the API server that says no. Its text is ours: the server's may quote what it was sent.
type answerError struct{ status int }

// Error tells the status only.
func (e *answerError) Error() string {
	if text := http.StatusText(e.status); text != "" {
		return fmt.Sprintf("the API server answered %d (%s)", e.status, strings.ToLower(text))
	}
	return fmt.Sprintf("the API server answered %d", e.status)
}

// forbidden tells whether the API server knows who asks and does not allow it.
func forbidden(err error) bool {
	var e *answerError
	return errors.As(err, &e) && e.status == http.StatusForbidden
}

var (
	errNotKubernetes = fault.WithHint(errors.New("the response is not understood"),
		"is the address that of a Kubernetes API server?")
	errVersionGone = fault.WithHint(secret.ErrVersionGone,
		"Kubernetes keeps the current version only; leave the version out of the reference")
	errNoRollback = fault.WithHint(secret.ErrVersionGone,
		"Kubernetes keeps the current version only: put the old value again, from where you have it")
	errEmpty   = fault.WithHint(errors.New("the value is empty"), "`sallyport secret delete` removes a secret")
	errHasKeys = fault.WithHint(errors.New("the Secret has keys of its own, which a single value would replace"),
		"write to namespace/name/key, or put a JSON object of all keys")
	errImmutable = fault.WithHint(errors.New("the Secret is immutable"),
		"make a new Secret under another name and let the reference name that, or delete this one and write it again")
	errPath = fault.WithHint(errors.New("the path cannot be used"),
		"write name, namespace/name or namespace/name/key; upper-case letters and underscores stand in keys only")
)

// rule is what a role has to allow for a call.
type rule struct {
	verb string
	object
}

// String is the rule as it stands in a role. The verb create knows no names yet, and a list without one means all.
func (r rule) String() string {
	names := ""
	if r.name != "" && r.verb != "create" {
		names = fmt.Sprintf("resourceNames: [%q], ", r.name)
	}
	return fmt.Sprintf(`{apiGroups: [""], resources: [secrets], %sverbs: [%s]}`, names, r.verb)
}

func (r rule) what() string {
	if r.name == "" {
		return fmt.Sprintf("to %s secrets in namespace %q", r.verb, r.namespace)
	}
	return fmt.Sprintf("to %s secret %q in namespace %q", r.verb, r.name, r.namespace)
}

// answers tells whether err is the store's answer and not the lack of one.
func answers(err error) bool {
	return errors.Is(err, secret.ErrNotFound) || errors.Is(err, secret.ErrVersionGone) ||
		errors.Is(err, secret.ErrDenied) || errors.Is(err, secret.ErrConflict)
}

func unavailable(what error, hint string) error {
	return fault.WithExit(fault.WithHint(fmt.Errorf("%w: %w", secret.ErrUnavailable, what), hint), fault.ExitStore)
}

// explain puts what client-go says about a call into the port's words.
func explain(err error, r rule) error {
	var said apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable(errors.New("the API server did not answer in time"),
			"is the API server overloaded, or the network to it slow?")
	case errors.As(err, &said):
		return explainAnswer(said.Status(), err, r)
	case errors.Is(err, errNotKubernetes):
		return unavailable(err, fault.HintOf(err))
	}
	if unsent, ok := errors.AsType[*url.Error](err); ok {
		hint := fault.HintOf(err)
		if hint == "" {
			hint = "does the API server run, and are its address and certificate authority right?"
		}
		return unavailable(unsent.Err, hint)
	}
	// A decoder's text may quote what it could not read.
	return unavailable(errNotKubernetes, fault.HintOf(errNotKubernetes))
}

func explainAnswer(said metav1.Status, err error, r rule) error {
	e := &answerError{status: int(said.Code)}
	if apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) && e.status != http.StatusUnauthorized &&
		e.status != http.StatusForbidden {
		return unavailable(e,
			"the response is not in the form of Kubernetes: what stands at that address, or in between?")
	}
	switch e.status {
	case http.StatusUnauthorized:
		return fault.WithHint(fmt.Errorf("%w: %w", secret.ErrDenied, e),
			"the token or certificate has ended, its service account is gone, or it is another cluster's")
	case http.StatusForbidden:
		return explainForbidden(e, err, r)
	case http.StatusNotFound:
		if said.Details != nil && said.Details.Kind == "namespaces" {
			return fault.WithHint(fmt.Errorf("%w: there is no namespace %q", secret.ErrNotFound, r.namespace),
				"kubectl create namespace "+r.namespace)
		}
		return secret.ErrNotFound
	case http.StatusConflict:
		return secret.ErrConflict
	case http.StatusRequestEntityTooLarge:
		return fault.WithHint(e, "a Secret holds at most 1 MiB")
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		return fault.WithHint(fmt.Errorf("the Secret is not taken: %w", e),
			"a Secret holds at most 1 MiB, and one of type kubernetes.io/… needs the keys of its type")
	case http.StatusTooManyRequests:
		return unavailable(e, "the API server limits how often it is asked: see its flow schemas")
	default:
		return unavailable(e, "see the API server's own log")
	}
}

func explainForbidden(e *answerError, err error, r rule) error {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return fault.WithHint(fmt.Errorf("%w: namespace %q is being deleted", secret.ErrDenied, r.namespace),
			"use another namespace, or wait until it is gone and create it again")
	}
	hint := fmt.Sprintf("a Role in namespace %q, bound to the service account or user of this store, needs the rule %s",
		r.namespace, r)
	if r.verb == "create" || r.verb == "update" {
		hint += "; if it has it, a quota or an admission policy refuses the Secret"
	}
	return fault.WithHint(fmt.Errorf("%w %s: %w", secret.ErrDenied, r.what(), e), hint)
}
