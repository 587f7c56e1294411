package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/kubeapi"
)

// call makes one request. into may be nil.
func (f *Fleet) call(ctx context.Context, r *rest.Request, needs rule, into any) error {
	limited, cancel := context.WithTimeout(kubeapi.Silent(ctx), callTime)
	defer cancel()
	status := 0
	answer := r.Do(limited).StatusCode(&status)
	text, err := answer.Raw()
	switch {
	case err == nil && into == nil:
		return nil
	case err == nil:
		if json.Unmarshal(text, into) != nil {
			return fleet.Unreachable("the answer is not understood", "is the address that of a Kubernetes API server?")
		}
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	}
	return explain(status, text, limited.Err() != nil, needs)
}

// rule is what a role has to allow.
type rule struct{ verb, path string }

// String is the rule as it stands in a role.
func (r rule) String() string {
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(r.path, "/apis/"), "/api/"), "/")
	group, at := "apps", 4
	if parts[0] == "v1" {
		group, at = "", 3
	}
	return fmt.Sprintf("{apiGroups: [%q], resources: [%s], verbs: [%s]}", group, parts[min(at, len(parts)-1)], r.verb)
}

// refusals are the beginnings by which API servers say who refuses a change (Kubernetes 1.36): apiserver/pkg/admission
// for webhooks, policies and quotas, apiserver/pkg/endpoints/handlers/responsewriters for what roles do not allow. What
// stands around them is never shown.
var refusals = []struct{ said, who string }{
	{"failed calling webhook", "an admission webhook does"},
	{"admission webhook", "an admission webhook refuses it"},
	{"ValidatingAdmissionPolicy", "a ValidatingAdmissionPolicy refuses it"},
	{"exceeded quota", "a ResourceQuota refuses it"},
}

// refusal is who refuses a change, apart from roles: many webhooks do with the status of those, 403. "" is unknown.
func refusal(text []byte) (who string) {
	var said metav1.Status
	if json.Unmarshal(text, &said) != nil {
		return ""
	}
	for _, r := range refusals {
		if strings.Contains(said.Message, r.said) {
			return r.who
		}
	}
	return ""
}

func explain(status int, text []byte, late bool, needs rule) error {
	who := refusal(text)
	switch {
	case who != "" && status < http.StatusInternalServerError:
		return fault.WithHint(errors.New("the change is not taken: "+who),
			"see what `kubectl rollout restart` says; nothing was changed")
	case who != "":
		return fleet.Unreachable("the API server could not ask an admission webhook",
			"see whether the service behind it runs: `kubectl get validatingwebhookconfigurations,"+
				"mutatingwebhookconfigurations`")
	case status == http.StatusNotFound:
		return gone()
	case status == http.StatusUnauthorized:
		return fault.WithHint(fmt.Errorf("%w: it does not know who asks", fleet.ErrNotAllowed),
			"the token or certificate has ended, its service account is gone, or it is another cluster's")
	case status == http.StatusForbidden:
		return fault.WithHint(fmt.Errorf("%w: to %s it", fleet.ErrNotAllowed, needs.verb),
			"its Role needs the rule "+needs.String()+": deploy/kubernetes/fleet-rbac.yaml has all")
	case status == http.StatusConflict:
		return fleet.Unreachable("another process changed it in between", "try it again")
	case status == http.StatusUnprocessableEntity, status == http.StatusBadRequest:
		return fault.WithHint(errors.New("the change is not taken"),
			"an admission policy may refuse it: see what `kubectl rollout restart` says")
	case late:
		return fleet.Unreachable("the API server did not answer in time",
			"is the API server overloaded, or the network to it slow?")
	case status == 0:
		return fleet.Unreachable("the API server cannot be reached",
			"does the API server run, and are its address and certificate authority right?")
	}
	return fleet.Unreachable(fmt.Sprintf("the API server answered %d", status), "see the API server's own log")
}
