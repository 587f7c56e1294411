package check_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/kubeapi"
	n8ndatabase "sallyport/internal/n8n/database"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/kube"
	"sallyport/internal/testkit/prometheus"
	"sallyport/internal/testkit/recorded"
	"sallyport/internal/wayout"
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
	has(t, r, doctor.Unseen, "it got no connection to "+shut+": refused")
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

// TestEgressSilence: that nothing comes back is no proof, where nothing says that the other side is there.
func TestEgressSilence(t *testing.T) {
	full := silence(t)
	r := one(t, "egress", inside(&site.Site{EgressTargets: []string{full}}))
	if r.Status != doctor.Unseen {
		t.Errorf("got %q: %+v", r.Status, r.Seen)
	}
	has(t, r, doctor.Unseen, "no response in time")
	if r := one(t, "admin", inside(&site.Site{Admin: full})); r.Status != doctor.Unseen {
		t.Errorf("admin: got %q: %+v", r.Status, r.Seen)
	}
}

// TestEgressEveryWay: with --egress the check is what `sallyport egress check` sees, from wherever it is run.
func TestEgressEveryWay(t *testing.T) {
	report := wayout.Report{Host: "worker-1", Probes: []wayout.Probe{
		{Title: "TCP 443", Status: wayout.Closed, Attempts: []wayout.Attempt{{To: "1.1.1.1:443", Status: wayout.Closed}}},
		{Title: "UDP 53", Status: wayout.Unclear, Attempts: []wayout.Attempt{
			{To: "1.1.1.1:53", Status: wayout.Closed, Saw: "there is no route"},
			{To: "9.9.9.9:53", Status: wayout.Unclear, Saw: "no response in time"},
		}},
	}}
	on := &site.Site{Egress: func(context.Context) (wayout.Report, error) { return report, nil }}
	r := one(t, "egress", on)
	has(t, r, doctor.OK, "TCP 443 is closed")
	has(t, r, doctor.Unseen, "UDP 53 is unclear: 9.9.9.9:53: no response in time")
	if r.Status != doctor.Unseen {
		t.Errorf("unclear: got %q", r.Status)
	}
	udp := &report.Probes[1]
	udp.Status, udp.Attempts[1].Status, udp.Close = wayout.Open, wayout.Open, "refuse UDP 53"
	report.Settings = []wayout.Setting{
		{ID: "x", Saw: "N8N_BLOCK_ENV_ACCESS_IN_NODE is false", Do: "set it to true"},
	}
	r = one(t, "egress", on)
	has(t, r, doctor.Failed, "UDP 53 is open: 9.9.9.9:53")
	has(t, r, doctor.Failed, "N8N_BLOCK_ENV_ACCESS_IN_NODE is false")
	report = wayout.Report{Probes: report.Probes[:1]}
	if r := one(t, "egress", on); r.Status != doctor.OK {
		t.Errorf("closed: %+v", r.Seen)
	}
	report = wayout.Report{}
	if r := one(t, "egress", on); r.Status != doctor.Unseen {
		t.Errorf("nothing tried: %+v", r.Seen)
	}
}

// silence is an address of this machine whose queue of connections is full, so that the kernel drops the next.
func silence(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 20 {
		conn, err := (&net.Dialer{Timeout: 200 * time.Millisecond}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the queue has no end")
	return ""
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
