package kubernetes_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/fleet/fleettest"
	"sallyport/internal/fleet/kubernetes"
	"sallyport/internal/kubeapi"
	"sallyport/internal/pause"
	"sallyport/internal/testkit/kube"
)

var shared kube.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// cluster is the Deployments of a real API server.
type cluster struct {
	*kube.Deployments

	server *kube.Server
}

func newCluster(t *testing.T, names ...string) *cluster {
	t.Helper()
	server := shared.Server(t)
	return &cluster{server.Deployments(t, names...), server}
}

// open is the fleet as whoever has the token.
func (c *cluster) open(t *testing.T, token string, units ...string) *kubernetes.Fleet {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": [{"name": "c", "cluster": {"server": %q, "certificate-authority": %q}}],
		"users": [{"name": "u", "user": {"token": %q}}],
		"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": %q}}]}`, c.server.URL,
		c.server.CAFile, token, c.Namespace)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := kubernetes.New(kubernetes.Options{Options: kubeapi.Options{Kubeconfig: file}, Workloads: units})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestConformance(t *testing.T) {
	var c *cluster
	fleettest.Run(t, fleettest.Subject{
		Open: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			c = newCluster(t, "n8n-worker", "n8n-main")
			f := c.open(t, c.server.AdminToken, "deployment/n8n-worker", "deployment/n8n-main")
			awaitReady(t, f)
			return f
		},
		Unreachable: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			away := &cluster{&kube.Deployments{Namespace: "n8n"}, &kube.Server{
				URL:    "https://127.0.0.1:1",
				CAFile: shared.Server(t).CAFile,
			}}
			return away.open(t, "token", "deployment/n8n")
		},
		Silent: func(t *testing.T) fleet.Orchestrator {
			t.Helper()
			away := &cluster{&kube.Deployments{Namespace: "n8n"}, &kube.Server{
				URL: "https://" + fleettest.Silence(t, "tcp"), CAFile: shared.Server(t).CAFile,
			}}
			return away.open(t, "token", "deployment/n8n")
		},
		Known: "deployment/n8n",
		Break: func(_ *testing.T, unit string) {
			c.Break(strings.TrimPrefix(unit, "deployment/"))
		},
		Remove: func(t *testing.T, unit string) {
			t.Helper()
			c.server.Call(t, http.MethodDelete, c.At("deployments")+"/"+strings.TrimPrefix(unit, "deployment/"), nil)
		},
	})
}

// awaitReady waits until the first pods run: until then a Deployment has no revision.
func awaitReady(t *testing.T, f *kubernetes.Fleet) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); _ = pause.For(t.Context(),
		50*time.Millisecond) {
		units, err := f.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ready := true
		for _, u := range units {
			ready = ready && u.State == fleet.Ready && u.Revision != ""
		}
		if ready {
			return
		}
	}
	t.Fatal("the pods do not run")
}

// TestManifest: the Role of the manifest is enough for everything, and for nothing else.
func TestManifest(t *testing.T) {
	c := newCluster(t, "n8n-worker", "n8n-webhook", "n8n-main", "other")
	token := applyManifest(t, c)
	units := []string{"deployment/n8n-worker", "deployment/n8n-webhook", "deployment/n8n-main"}
	awaitReady(t, c.open(t, c.server.AdminToken, append(units, "deployment/other")...))
	f := c.open(t, token, append(units, "deployment/other")...)
	for _, unit := range units {
		u, err := f.Look(t.Context(), unit)
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"Restart": f.Restart(t.Context(), unit, 0), "Revert": f.Revert(t.Context(), unit, u.Revision),
			"Stop": f.Stop(t.Context(), unit, 0), "Start": f.Start(t.Context(), unit, 2),
		} {
			if err != nil {
				t.Errorf("%s of %s: %v", name, unit, err)
			}
		}
	}
	err := f.Restart(t.Context(), "deployment/other", 0)
	if !errors.Is(err, fleet.ErrNotAllowed) ||
		!strings.Contains(fault.HintOf(err), `{apiGroups: ["apps"], resources: [deployments], verbs: [get]}`) {
		t.Errorf("another workload: got %v with hint %q", err, fault.HintOf(err))
	}
}

// TestProblem: what the pods wait for is told.
func TestProblem(t *testing.T) {
	c := newCluster(t, "n8n-main")
	f := c.open(t, c.server.AdminToken, "deployment/n8n-main")
	awaitReady(t, f)
	c.Break("n8n-main")
	if err := f.Restart(t.Context(), "deployment/n8n-main", 0); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(3 * time.Minute); ; _ = pause.For(t.Context(), 50*time.Millisecond) {
		u, err := f.Look(t.Context(), "deployment/n8n-main")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(u.Problem, "CrashLoopBackOff") {
			if way := u.Nodes[0].Way; !strings.Contains(string(way), "/n8n?kubeconfig=") {
				t.Errorf("got way %q, want the container n8n", way)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing tells what is wrong: %+v", u)
		}
	}
}
