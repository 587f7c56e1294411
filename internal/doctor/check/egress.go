package check

import (
	"context"
	_ "embed" // the page
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	networking "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/guard"
	"sallyport/internal/wayout"
)

//go:embed egress.md
var egressPage string

func egress() doctor.Check {
	return doctor.Check{
		ID: "egress", Title: "n8n, its workers and its runners reach no API but through the " +
			"gate", Severity: doctor.High,
		Asks: "From inside n8n's container: does a connection to each API's host come about; with --egress, is " +
			"every way past the gate closed, as `sallyport egress check` tries them? Kubernetes: which " +
			"NetworkPolicies bound the egress of n8n's pods?",
		Page: egressPage, Look: lookAtEgress, Timeout: 2 * time.Minute,
	}
}

const (
	dialTime   = 5 * time.Second
	maxTargets = 50

	closeEgress = "deny egress by default, and allow the gate, the database, Redis and DNS: by a NetworkPolicy, or " +
		"a network " +
		"of Docker with `internal: true`"
)

func lookAtEgress(ctx context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	here, inside := on.Beside()
	if on.Egress != nil {
		ways, err := everyWay(ctx, on)
		if err != nil {
			return nil, err
		}
		seen = append(seen, ways...)
	}
	if inside && (on.Egress == nil || len(on.EgressTargets) > 0) {
		seen = append(seen, dialled(ctx, on, here)...)
	}
	if on.Kube != nil {
		seen = append(seen, policies(ctx, on)...)
	}
	if len(seen) == 0 {
		return nil, errNobody("this is no container of n8n, from which its way out could be tried", "in each of n8n's "+
			"containers, workers and runners: sallyport doctor --only egress --egress; or --egress-target "+
			"api.openai.com:443 in n8n's; or --kubeconfig, to look at NetworkPolicies")
	}
	return seen, nil
}

// targetsOf are the hosts that n8n must not reach by itself.
func targetsOf(on *site.Site) (list []string) {
	if len(on.EgressTargets) > 0 {
		return on.EgressTargets
	}
	c, _, err := on.Config()
	if err != nil {
		return nil
	}
	for _, name := range c.ServiceNames() {
		u := c.Services[name].Upstream
		if u == nil {
			continue
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80"}[u.Scheme]
		}
		if port == "" {
			port = "443"
		}
		if at := net.JoinHostPort(u.Hostname(), port); !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	return list
}

// dialled tries every target, without a proxy, as a program in n8n can.
func dialled(ctx context.Context, on *site.Site, here site.Workload) []doctor.Seen {
	targets := targetsOf(on)
	if len(targets) == 0 {
		return []doctor.Seen{doctor.Dark(here.Name, "nothing says which hosts it must not reach",
			"--egress-target HOST:PORT, or --config")}
	}
	targets = targets[:min(len(targets), maxTargets)]
	seen := make([]doctor.Seen, len(targets))
	var group guard.Group
	for i, target := range targets {
		group.Go("trying to go out", func() { seen[i] = dialledOne(ctx, here, target) })
	}
	group.Wait()
	return seen
}

func dialledOne(ctx context.Context, here site.Workload, target string) doctor.Seen {
	bounded, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(bounded, "tcp", target)
	switch {
	case ctx.Err() != nil:
		return doctor.DarkBy(here.Name, ctx.Err())
	case err == nil:
		_ = conn.Close()
		return doctor.Bad(here.Name, "it reaches "+target+" directly", closeEgress)
	case !tried(err):
		return doctor.Dark(here.Name, "no connection to "+target+" was tried: "+err.Error(),
			"--egress-target ADDRESS:PORT: "+
				"a name that is not resolved proves nothing")
	}
	status, saw := wayout.Shows(err)
	if status == wayout.Closed {
		return doctor.Good(here.Name, "it does not reach "+target+": "+saw)
	}
	return doctor.Dark(here.Name, "it got no connection to "+target+": "+saw, "--egress tries hosts that are known to "+
		"respond, and so tells which of the two it is")
}

// everyWay is what `sallyport egress check` sees from here.
func everyWay(ctx context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	r, err := on.Egress(ctx)
	if err != nil {
		return nil, err
	}
	at := "from " + r.Host
	for _, p := range r.Probes {
		switch p.Status {
		case wayout.Open:
			seen = append(seen, doctor.Bad(at, p.Title+" is open: "+sawOf(p), p.Close))
		case wayout.Closed:
			seen = append(seen, doctor.Good(at, p.Title+" is closed"))
		case wayout.Unclear:
			seen = append(seen, doctor.Dark(at, p.Title+" is unclear: "+sawOf(p),
				"`sallyport egress listen` outside, and `sallyport egress check` with --target and --baseline, tell "+
					"more: docs/egress.md"))
		}
	}
	for _, s := range r.Settings {
		if !s.OK {
			seen = append(seen, doctor.Bad(at, s.Saw, s.Do))
		}
	}
	return seen, nil
}

// sawOf is the first attempt that has the status of the whole.
func sawOf(p wayout.Probe) string {
	for _, a := range p.Attempts {
		if a.Status == p.Status {
			return a.To + ": " + a.Saw
		}
	}
	return "nothing was tried"
}

// tried tells whether an error of dialling is from a connection that was tried: the text was an address, and the name
// was resolved.
func tried(err error) bool {
	_, noAddress := errors.AsType[*net.AddrError](err)
	_, noName := errors.AsType[*net.DNSError](err)
	return !noAddress && !noName
}

// policies says what bounds the egress of n8n's pods. A policy holds as far as the cluster's network keeps to it.
func policies(ctx context.Context, on *site.Site) (seen []doctor.Seen) {
	pods, cluster, err := on.Pods(ctx)
	if err != nil {
		return []doctor.Seen{doctor.DarkBy("Kubernetes", err)}
	}
	text, err := cluster.Get(ctx, "/apis/networking.k8s.io/v1/namespaces/"+cluster.Namespace+"/networkpolicies", nil)
	if err != nil {
		return []doctor.Seen{doctor.DarkBy("Kubernetes", err)}
	}
	var all networking.NetworkPolicyList
	if json.Unmarshal(text, &all) != nil {
		return []doctor.Seen{doctor.Dark("Kubernetes", "its NetworkPolicies are not understood", "")}
	}
	if len(pods) == 0 {
		return []doctor.Seen{doctor.Dark("Kubernetes", "no n8n runs in namespace "+cluster.Namespace, "--namespace")}
	}
	for _, pod := range pods {
		seen = append(seen, bounded(pod, all.Items))
	}
	return seen
}

// bounded says whether a pod's egress is. Policies add up: one that allows all allows it.
func bounded(pod site.Workload, all []networking.NetworkPolicy) doctor.Seen {
	var by []string
	for i := range all {
		p := &all[i]
		selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
		isEgress := slices.Contains(p.Spec.PolicyTypes, networking.PolicyTypeEgress)
		if err != nil || !isEgress || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		for _, rule := range p.Spec.Egress {
			if where := anywhere(rule); where != "" {
				return doctor.Bad(pod.Name, fmt.Sprintf("NetworkPolicy %s lets it go to %s", p.Name, where),
					closeEgress)
			}
		}
		by = append(by, p.Name)
	}
	if len(by) == 0 {
		return doctor.Bad(pod.Name, "no NetworkPolicy bounds its egress", closeEgress)
	}
	return doctor.Good(pod.Name, fmt.Sprintf("NetworkPolicy %s bounds its egress, as far as the cluster's network "+
		"keeps "+
		"to it: from inside, this check tries", by[0]))
}

// anywhere says which wide world a rule allows, or "": one for DNS alone leads to names, and to no API.
func anywhere(rule networking.NetworkPolicyEgressRule) string {
	onlyDNS := len(rule.Ports) > 0
	for _, p := range rule.Ports {
		onlyDNS = onlyDNS && p.Port != nil && p.Port.IntValue() == 53 && p.EndPort == nil
	}
	if onlyDNS {
		return ""
	}
	if len(rule.To) == 0 {
		return "anywhere"
	}
	for _, to := range rule.To {
		if to.IPBlock != nil && (to.IPBlock.CIDR == "0.0.0.0/0" || to.IPBlock.CIDR == "::/0") {
			return to.IPBlock.CIDR
		}
	}
	return ""
}
