package wayout_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	apps "k8s.io/api/apps/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sallyport/internal/testkit/kube"
)

var cluster kube.Shared

// applied sends the objects of a manifest to a real API server as a dry run, which refuses every field that it does not
// know, and returns them as it would keep them.
func applied(t *testing.T, file string) (objects []kube.Object) {
	t.Helper()
	server := cluster.Server(t)
	namespace := server.Namespace(t)
	manifest, err := os.Open("../../deploy/egress/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manifest.Close() }()
	for decoder := yaml.NewDecoder(manifest); ; {
		var object kube.Object
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		kind, version := object["kind"].(string), object["apiVersion"].(string)
		at := "/apis/" + version
		if version == "v1" {
			at = "/api/v1"
		}
		if !strings.HasPrefix(kind, "Cluster") {
			at += "/namespaces/" + namespace
		}
		plural := strings.TrimSuffix(strings.ToLower(kind), "y") + "s"
		if strings.HasSuffix(kind, "y") {
			plural = strings.TrimSuffix(plural, "s") + "ies"
		}
		objects = append(objects, server.Call(t, http.MethodPost,
			at+"/"+plural+"?dryRun=All&fieldValidation=Strict", object))
	}
}

// TestResolverManifest: a real API server takes every object of the resolver's manifest.
func TestResolverManifest(t *testing.T) {
	objects := applied(t, "kubernetes-resolver.yaml")
	if len(objects) != 6 {
		t.Fatalf("the manifest has %d objects", len(objects))
	}
	text, err := json.Marshal(objects[4])
	if err != nil {
		t.Fatal(err)
	}
	var d apps.Deployment
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	template := d.Spec.Template
	for _, p := range template.Spec.Containers[0].Ports { // policies see the pod's port, behind the Service
		if p.ContainerPort != nameServer.port {
			t.Errorf("it listens on %d, and the policies are about %d", p.ContainerPort, nameServer.port)
		}
	}
	selected := nameServer.pod.AsSelector().Matches(labels.Set(template.Labels))
	if !selected || len(template.Spec.Containers[0].Ports) != 2 {
		t.Errorf("the policies do not select it: %v", template.Labels)
	}
}

// pod is what a policy sees of a pod.
type pod struct {
	name   string
	labels labels.Set
}

func chartPod(name string, more ...string) pod {
	set := labels.Set{}
	for i := 0; i < len(more); i += 2 {
		set["app.kubernetes.io/"+more[i]] = more[i+1]
	}
	return pod{name, set}
}

// nodes are the pods of n8n as the charts render them: the official chart 1.11.0, community-charts 1.24.32, 8gears
// 1.1.0, all with the release name n8n, and the raw manifests. Task runners are sidecars in them.
var nodes = []pod{
	chartPod("official main", "name", "n8n", "instance", "n8n", "component", "main"),
	chartPod("official worker with its runner", "name", "n8n", "instance", "n8n", "component", "worker"),
	chartPod("official webhook", "name", "n8n", "instance", "n8n", "component", "webhook-processor"),
	chartPod("community main", "name", "n8n", "instance", "n8n", "component", "main", "part-of", "n8n"),
	chartPod("community worker with its runner", "name", "n8n-worker", "instance", "n8n", "component", "worker",
		"part-of", "n8n"),
	chartPod("community webhook", "name", "n8n-webhook", "instance", "n8n", "component", "webhook", "part-of", "n8n"),
	chartPod("community MCP", "name", "n8n-mcp-webhook", "instance", "n8n", "component", "mcp", "part-of", "n8n"),
	{"8gears main", labels.Set{"app.kubernetes.io/name": "n8n", "app.kubernetes.io/instance": "n8n", "type": "master"}},
	{"8gears worker", labels.Set{"app.kubernetes.io/name": "n8n", "app.kubernetes.io/instance": "n8n", "type": "worker"}},
	{"8gears webhook", labels.Set{"app.kubernetes.io/name": "n8n", "app.kubernetes.io/instance": "n8n", "type": "webhook"}},
	{"raw main", labels.Set{"service": "n8n"}},
	{"raw worker", labels.Set{"service": "n8n-worker"}},
}

// destination is where a pod goes: a pod of a namespace, or an address outside when address is there.
type destination struct {
	name      string
	namespace string // "" is n8n's own
	pod       labels.Set
	address   string
	protocol  string
	port      int32
}

var (
	gate       = destination{"the gate", "sallyport", named("sallyport"), "", "TCP", 8470}
	database   = destination{"PostgreSQL", "", named("postgresql"), "", "TCP", 5432}
	redis      = destination{"Redis", "", named("redis"), "", "TCP", 6379}
	nameServer = destination{"the resolver", "", named("n8n-resolver"), "", "UDP", 5353}
	broker     = destination{"the broker", "", named("n8n-worker"), "", "TCP", 5679}
)

func named(name string) labels.Set { return labels.Set{"app.kubernetes.io/name": name} }

// beyond are destinations that no pod of n8n may reach.
func beyond() (all []destination) {
	for _, address := range []string{
		"1.1.1.1", "2606:4700:4700::1111", "169.254.169.254", "fd00:ec2::254", "10.96.0.1",
	} {
		for _, protocol := range []string{"TCP", "UDP"} {
			for _, port := range []int32{22, 25, 53, 80, 443, 465, 587, 853, 4444, 8470, 9418} {
				all = append(all, destination{"outside", "", nil, address, protocol, port})
			}
		}
	}
	return append(all,
		destination{"the cluster's DNS", "kube-system", labels.Set{"k8s-app": "kube-dns"}, "", "UDP", 53},
		destination{"the cluster's DNS", "kube-system", labels.Set{"k8s-app": "kube-dns"}, "", "TCP", 53},
		destination{"the gate's console", "sallyport", gate.pod, "", "TCP", 8472},
		destination{"a pod beside the gate", "sallyport", labels.Set{"app": "other"}, "", "TCP", 8470},
		destination{"a pod that calls itself the gate", "evil", gate.pod, "", "TCP", 8470},
		destination{"another pod", "", labels.Set{"app": "squid"}, "", "TCP", 3128},
		destination{"the database's SSH", "", database.pod, "", "TCP", 22},
	)
}

// allows evaluates policies as Kubernetes does: a pod that none selects for egress may go anywhere; one that some
// select may go where any of them lets it.
func allows(t *testing.T, policies []networking.NetworkPolicy, from pod, to destination) bool {
	t.Helper()
	selected := false
	for _, p := range policies {
		if !matches(t, &p.Spec.PodSelector, from.labels) ||
			!slices.Contains(p.Spec.PolicyTypes, networking.PolicyTypeEgress) {
			continue
		}
		selected = true
		if slices.ContainsFunc(p.Spec.Egress, func(rule networking.NetworkPolicyEgressRule) bool {
			return letsOut(t, rule, to)
		}) {
			return true
		}
	}
	return !selected
}

func letsOut(t *testing.T, rule networking.NetworkPolicyEgressRule, to destination) bool {
	t.Helper()
	port := len(rule.Ports) == 0 || slices.ContainsFunc(rule.Ports, func(p networking.NetworkPolicyPort) bool {
		if string(*p.Protocol) != to.protocol {
			return false
		}
		last := p.Port
		return last == nil || last.IntVal == to.port ||
			p.EndPort != nil && last.IntVal <= to.port && to.port <= *p.EndPort
	})
	return port && (len(rule.To) == 0 || slices.ContainsFunc(rule.To, func(peer networking.NetworkPolicyPeer) bool {
		switch {
		case peer.IPBlock != nil:
			address, err := netip.ParseAddr(to.address)
			return err == nil && netip.MustParsePrefix(peer.IPBlock.CIDR).Contains(address)
		case to.address != "":
			return false
		case peer.NamespaceSelector == nil && to.namespace != "":
			return false
		case peer.NamespaceSelector != nil && !matches(t, peer.NamespaceSelector,
			labels.Set{"kubernetes.io/metadata.name": to.namespace}):
			return false
		}
		return peer.PodSelector == nil || matches(t, peer.PodSelector, to.pod)
	}))
}

func matches(t *testing.T, selector *meta.LabelSelector, of labels.Set) bool {
	t.Helper()
	s, err := meta.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(of)
}

// TestPolicies: behind the policies that ship, pods of every chart and role reach what they need, and nothing else; the
// databases beside them are not touched.
func TestPolicies(t *testing.T) {
	var policies []networking.NetworkPolicy
	for _, object := range applied(t, "kubernetes.yaml") {
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		var p networking.NetworkPolicy
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatal(err)
		}
		policies = append(policies, p)
	}
	runner := chartPod("a runner of its own", "name", "n8n-runner")
	for _, from := range append(slices.Clone(nodes), runner) {
		needs := []destination{gate, database, redis, nameServer}
		switch {
		case from.labels["service"] != "":
			own := destination{"the database", "", labels.Set{"service": "postgres-n8n"}, "", "TCP", 5432}
			needs = []destination{gate, nameServer, own}
		case from.name == runner.name:
			needs = []destination{broker, nameServer}
		}
		for _, to := range needs {
			if !allows(t, policies, from, to) {
				t.Errorf("%s does not reach %s", from.name, to.name)
			}
		}
		for _, to := range beyond() {
			if allows(t, policies, from, to) {
				t.Errorf("%s reaches %s: %s%s %s %d", from.name, to.name, to.namespace, to.address, to.protocol,
					to.port)
			}
		}
	}
	for _, to := range []destination{gate, database, redis} {
		if allows(t, policies, runner, to) {
			t.Errorf("code of workflows reaches %s", to.name)
		}
	}
	other := pod{"PostgreSQL", database.pod}
	if !allows(t, policies, other, beyond()[0]) {
		t.Error("the policies close pods that are not n8n's")
	}
}
