package kubernetes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sallyport/internal/fault"
	"sallyport/internal/kubeapi"
	"sallyport/internal/secret"
)

var _ secret.Prober = (*Store)(nil)

const (
	maxProbed = 200 // Secrets and namespaces that are asked about
	absent    = "sallyport-probe-no-such-secret"

	reviewPath = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
)

var errNoReview = errors.New("the API server does not say what this account may do")

// attributes is what a review asks about.
type attributes = authorization.ResourceAttributes

// Probe implements secret.Prober, by SelfSubjectAccessReview, which every account may make: the API server says what
// it would allow, and nothing is read.
func (s *Store) Probe(ctx context.Context, uses []secret.Use) (probe secret.Probe, err error) {
	ask := func(what attributes, right secret.Right) {
		if err != nil {
			return
		}
		right.Held, err = s.may(ctx, authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &what})
		probe.Rights = append(probe.Rights, right)
	}
	namespaces := make(map[string]bool)
	seen := make(map[object]bool)
	for _, use := range uses {
		at, wrong := s.locate(use.Path)
		if wrong != nil || seen[at.object] || len(seen) == maxProbed {
			continue // what names no Secret fails where it is read, and says why there
		}
		seen[at.object] = true
		namespaces[at.namespace] = true
		aboutSecret(ask, at.object, use.Writes)
	}
	if len(namespaces) == 0 {
		namespaces[s.namespace] = true
	}
	for namespace := range namespaces {
		aboutNamespace(ask, namespace)
	}
	aboutCluster(ask)
	if err != nil {
		return secret.Probe{}, s.failed(ctx, "asking about the rights to", "secrets", err)
	}
	probe.Audit = s.trail(ctx)
	return probe, nil
}

// asker asks whether the account may do something.
type asker func(what attributes, right secret.Right)

func aboutSecret(ask asker, o object, writes bool) {
	name := o.namespace + "/" + o.name
	rule := func(verbs string) string {
		return fmt.Sprintf("resources: [secrets], resourceNames: [%q], verbs: [%s]", o.name, verbs)
	}
	on := func(verb string) attributes {
		return attributes{Namespace: o.namespace, Verb: verb, Resource: resource, Name: o.name}
	}
	ask(on("get"), secret.Right{What: "read " + name, Want: secret.Needed, Fix: "add a rule: " +
		rule("get, list, watch")})
	want, fix := secret.Wide, "it is only read: "+rule("get, list, watch")
	if writes {
		want, fix = secret.Needed, "add a rule: "+rule("get, list, watch, update")
	}
	ask(on("update"), secret.Right{What: "change " + name, Want: want, Fix: fix})
	ask(on("delete"), secret.Right{
		What: "delete " + name, Want: secret.Wide, Fix: "leave delete out: " + rule("get, list, watch"),
	})
}

func aboutNamespace(ask asker, namespace string) {
	beyond := "name the Secrets that are used with resourceNames, in a Role and not a ClusterRole"
	elsewhere := "take it out of the Role: it gives every Secret of the namespace to whoever has the account"
	for _, one := range []struct {
		what attributes
		as   string
		fix  string
	}{
		{attributes{Verb: "get", Resource: resource, Name: absent}, "read any Secret", beyond},
		{attributes{Verb: "list", Resource: resource}, "list all Secrets with their values", beyond},
		{attributes{Verb: "create", Resource: "pods"}, "start pods, which mount any Secret", elsewhere},
		{attributes{Verb: "create", Resource: "pods", Subresource: "exec"}, "run programs in pods", elsewhere},
		{
			attributes{Verb: "create", Resource: "serviceaccounts", Subresource: "token"},
			"take tokens of other accounts", elsewhere,
		},
	} {
		one.what.Namespace = namespace
		ask(one.what, secret.Right{What: one.as + " in namespace " + namespace, Want: secret.Excess, Fix: one.fix})
	}
}

func aboutCluster(ask asker) {
	for _, one := range []struct {
		what attributes
		as   string
	}{
		{attributes{Verb: "get", Resource: resource}, "read the Secrets of every namespace"},
		{
			attributes{Verb: "escalate", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
			"give itself rights",
		},
		{attributes{Verb: "impersonate", Resource: "users"}, "act as other users"},
		{attributes{Verb: "*", Group: "*", Resource: "*"}, "do everything, as a cluster-admin"},
	} {
		ask(one.what, secret.Right{
			What: one.as, Want: secret.Excess, Fix: "bind the account to a Role of the namespace, and to no " +
				"ClusterRole",
		})
	}
}

// may asks whether the account may do something.
func (s *Store) may(ctx context.Context, spec authorization.SelfSubjectAccessReviewSpec) (bool, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	text, err := json.Marshal(authorization.SelfSubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview"}, Spec: spec,
	})
	if err != nil {
		return false, fmt.Errorf("writing a review: %w", err)
	}
	raw, err := s.api.Post().AbsPath(reviewPath).SetHeader("Content-Type", runtime.ContentTypeJSON).
		SetHeader("Accept", runtime.ContentTypeJSON).Body(text).Do(ctx).Raw()
	if err != nil {
		return false, explain(err, rule{verb: "create"})
	}
	var review authorization.SelfSubjectAccessReview
	if json.Unmarshal(raw, &review) != nil || review.Kind != "SelfSubjectAccessReview" {
		return false, fault.WithHint(errNoReview, "is it a Kubernetes API server?")
	}
	return review.Status.Allowed, nil
}

// trail asks the API server's own metrics whether it writes an audit log. Few accounts may read them.
func (s *Store) trail(ctx context.Context) secret.Trail {
	const hint = "kube-apiserver has to run with --audit-policy-file and --audit-log-path; a managed cluster has a " +
		"switch for it"
	unknown := secret.Trail{
		Evidence: "the API server does not tell this account whether it writes an audit log",
		Hint:     hint,
	}
	ctx, cancel := s.bound(kubeapi.Silent(ctx))
	defer cancel()
	text, err := s.api.Get().AbsPath("/metrics").SetHeader("Accept", "text/plain").Do(ctx).Raw()
	if err != nil {
		return unknown
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, is := strings.CutPrefix(lines.Text(), "apiserver_audit_event_total ")
		if !is {
			continue
		}
		events, err := strconv.ParseFloat(rest, 64)
		switch {
		case err != nil:
			return unknown
		case events > 0:
			return secret.Trail{State: secret.TrailOn, Evidence: fmt.Sprintf("the API server has audited %.0f "+
				"events", events)}
		}
		return secret.Trail{
			State: secret.TrailOff, Evidence: "the API server has audited no event since it started", Hint: hint,
		}
	}
	return unknown
}
