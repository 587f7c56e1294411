package check_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/kubeapi"
	n8ndatabase "sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/kube"
	"sallyport/internal/testkit/prometheus"
	"sallyport/internal/testkit/recorded"
)

// inside is a site as it is in n8n's container.
func inside(on *site.Site) *site.Site {
	on.Here = func() (site.Workload, bool) { return site.Workload{Name: "n8n's process 7", Way: "process"}, true }
	return on
}

func listener(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestEgress(t *testing.T) {
	open, shut := listener(t), prometheus.FreeAddress(t)
	r := one(t, "egress", inside(&site.Site{EgressTargets: []string{open, shut, "no-such-host.invalid:443"}}))
	golden(t, "egress", one(t, "egress", inside(&site.Site{EgressTargets: []string{open, shut}})), open, "OPEN",
		shut, "SHUT")
	has(t, r, doctor.Failed, "it reaches "+open+" directly")
	has(t, r, doctor.OK, "it does not reach "+shut)
	has(t, r, doctor.Unseen, "no-such-host.invalid:443")

	_, port, _ := strings.Cut(open, ":")
	on := inside(configured(t, "services: {one: {upstream: 'http://localhost:"+port+"', credential: {kind: none}}}\n"))
	has(t, one(t, "egress", on), doctor.Failed, "localhost:"+port)
	for name, on := range map[string]*site.Site{
		"no target":  inside(configured(t, "services: {}\n")),
		"no address": inside(&site.Site{EgressTargets: []string{"127.0.0.1"}}),
	} {
		if r := one(t, "egress", on); r.Status == doctor.OK {
			t.Errorf("%s: %+v", name, r.Seen)
		}
	}
}

// TestEgressPolicies looks at NetworkPolicies of a real API server.
func TestEgressPolicies(t *testing.T) {
	server := kubes.Server(t)
	for _, c := range []struct {
		name   string
		egress []kube.Object // nil: there is no policy
		pods   kube.Object
		want   doctor.Status
	}{
		{"none", nil, nil, doctor.Failed},
		{"nothing allowed", []kube.Object{}, kube.Object{}, doctor.OK},
		{"of other pods", []kube.Object{}, kube.Object{"matchLabels": kube.Object{"app": "other"}}, doctor.Failed},
		{"anywhere on 443", []kube.Object{{"ports": []kube.Object{{"port": 443}}}}, kube.Object{}, doctor.Failed},
		{"DNS anywhere", []kube.Object{{"ports": []kube.Object{{"port": 53, "protocol": "UDP"}}}}, kube.Object{}, doctor.OK},
		{"from DNS on", []kube.Object{{"ports": []kube.Object{{"port": 53, "endPort": 65535}}}}, kube.Object{}, doctor.Failed},
		{"the world", []kube.Object{{"to": []kube.Object{{"ipBlock": kube.Object{"cidr": "0.0.0.0/0"}}}}}, kube.Object{}, doctor.Failed},
		{"the gate", []kube.Object{{"to": []kube.Object{{"podSelector": kube.Object{}}}}}, kube.Object{}, doctor.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			namespace := server.Namespace(t)
			server.Call(t, "POST", "/api/v1/namespaces/"+namespace+"/serviceaccounts", kube.Object{
				"apiVersion": "v1", "kind": "ServiceAccount", "metadata": kube.Object{"name": "default"},
			})
			pod(t, server, namespace, "n8n", kube.Object{})
			if c.egress != nil {
				server.Call(t, "POST", "/apis/networking.k8s.io/v1/namespaces/"+namespace+"/networkpolicies",
					kube.Object{
						"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": kube.Object{"name": "p"},
						"spec": kube.Object{
							"podSelector": c.pods, "policyTypes": []string{"Egress"},
							"egress": c.egress,
						},
					})
			}
			r := one(t, "egress", &site.Site{Namespace: namespace, Kube: &kubeapi.Options{
				Kubeconfig: server.Kubeconfig(t, server.AdminToken, namespace),
			}})
			if r.Status != c.want {
				t.Errorf("got %q: %+v", r.Status, r.Seen)
			}
		})
	}
}

func TestAdmin(t *testing.T) {
	open, shut := listener(t), prometheus.FreeAddress(t)
	r := one(t, "admin", inside(&site.Site{Admin: open}))
	golden(t, "admin", r, open, "OPEN")
	for _, c := range []struct {
		on   *site.Site
		want doctor.Status
	}{
		{inside(&site.Site{Admin: open}), doctor.Failed},
		{inside(&site.Site{Admin: shut}), doctor.OK},
		{inside(&site.Site{Admin: "127.0.0.1"}), doctor.Unseen},
		{inside(&site.Site{}), doctor.Unseen},
		{configured(t, "services: {}\n"), doctor.OK},
		{configured(t, "insecure: true\nlisten: {admin: '0.0.0.0:8472'}\n"), doctor.Unseen},
	} {
		if r := one(t, "admin", c.on); r.Status != c.want {
			t.Errorf("got %q, want %q: %+v", r.Status, c.want, r.Seen)
		}
	}
}

// TestCredentialLocks decrypts the credentials of a database that a real n8n has made.
func TestCredentialLocks(t *testing.T) {
	for _, rec := range recorded.Of(t, recorded.SQLite) {
		file := rec.SQLite(t)
		with := func(key string) doctor.Result {
			return one(t, "credential-locks", &site.Site{
				N8NKey: func(context.Context) (secret.Value, error) { return secret.NewValue([]byte(key)), nil },
				N8NDatabase: func(ctx context.Context) (*n8ndatabase.DB, error) {
					return n8ndatabase.Open(ctx, n8ndatabase.Options{URL: "sqlite://" + file, TablePrefix: rec.Prefix})
				},
			})
		}
		r := with(rec.Master)
		has(t, r, doctor.Warning, "credentials are keys of APIs themselves")
		hasNot(t, r, "does not open it")
		if r := with("another-key-0123456789abcdef"); r.Status != doctor.Unseen {
			t.Errorf("%s, another key: %+v", rec.Name, r.Seen)
		}
	}
}
