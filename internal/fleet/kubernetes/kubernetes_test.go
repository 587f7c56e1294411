package kubernetes_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// cluster is a namespace of a real API server, and what its controllers and its kubelet would do. Those are the test's:
// the API server has none.
type cluster struct {
	server    *kube.Server
	namespace string

	mu     sync.Mutex
	broken map[string]bool
}

func (c *cluster) apps(resource string) string {
	return "/apis/apps/v1/namespaces/" + c.namespace + "/" + resource
}

func (c *cluster) pods() string { return "/api/v1/namespaces/" + c.namespace + "/pods" }

// newCluster has two Deployments of two pods each.
func newCluster(t *testing.T, names ...string) *cluster {
	t.Helper()
	server := shared.Server(t)
	c := &cluster{server: server, namespace: server.Namespace(t), broken: map[string]bool{}}
	for _, name := range names {
		labels := kube.Object{"app": name}
		server.Call(t, http.MethodPost, c.apps("deployments"), kube.Object{
			"metadata": kube.Object{"name": name},
			"spec": kube.Object{
				"replicas": 2, "selector": kube.Object{"matchLabels": labels},
				"template": kube.Object{"metadata": kube.Object{"labels": labels}, "spec": kube.Object{
					"containers": []kube.Object{{"name": "n8n", "image": "n8n"}, {"name": "runner", "image": "runners"}},
				}},
			},
		})
	}
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
			for _, name := range names {
				if err := c.reconcile(name); err != nil && !strings.Contains(err.Error(), "404") &&
					!strings.Contains(err.Error(), "409") {
					t.Errorf("playing the controllers: %v", err)
					return
				}
			}
		}
	}()
	t.Cleanup(func() { close(done); <-stopped })
	return c
}

// deployment is what of a Deployment the controllers look at.
type deployment struct {
	Metadata struct {
		Name, UID   string
		Generation  int64
		Annotations map[string]string
	}
	Spec struct {
		Replicas int
		Template json.RawMessage
	}
}

func into[T any](o kube.Object) (out T) {
	text, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		panic(err)
	}
	return out
}

// reconcile does for a Deployment what the controllers do (kubernetes 1.36, pkg/controller/deployment), in big steps: a
// ReplicaSet for each template, revisions, pods, status.
func (c *cluster) reconcile(name string) error {
	found, err := c.server.Ask(http.MethodGet, c.apps("deployments")+"/"+name, nil)
	if err != nil {
		return err
	}
	d := into[deployment](found)
	hash, revision, err := c.replicaSet(d)
	if err != nil {
		return err
	}
	if d.Metadata.Annotations["deployment.kubernetes.io/revision"] != revision {
		patch := kube.Object{
			"metadata": kube.Object{"annotations": kube.Object{"deployment.kubernetes.io/revision": revision}},
		}
		if _, err := c.server.Ask(http.MethodPatch, c.apps("deployments")+"/"+name, patch); err != nil {
			return err
		}
	}
	c.mu.Lock()
	broken := c.broken[name]
	c.mu.Unlock()
	fresh, old, err := c.runPods(d, hash, broken)
	if err != nil {
		return err
	}
	available := fresh
	if broken {
		available = old
	}
	_, err = c.server.Ask(http.MethodPatch, c.apps("deployments")+"/"+name+"/status", kube.Object{"status": kube.Object{
		"observedGeneration": d.Metadata.Generation, "replicas": fresh + old, "updatedReplicas": fresh, "readyReplicas": available, "availableReplicas": available,
	}})
	return err
}

// replicaSet finds or makes the one of the present template; its revision becomes the newest.
func (c *cluster) replicaSet(d deployment) (hash, revision string, err error) {
	type set struct {
		Metadata struct {
			Name        string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
	list, err := c.server.Ask(http.MethodGet, c.apps("replicasets")+"?labelSelector=app%3D"+d.Metadata.Name, nil)
	if err != nil {
		return "", "", err
	}
	sets := into[struct{ Items []set }](list).Items
	hash = fmt.Sprintf("%08x", fnv(d.Spec.Template))
	newest, mine := 0, -1
	for i, s := range sets {
		n := 0
		_, _ = fmt.Sscan(s.Metadata.Annotations["deployment.kubernetes.io/revision"], &n)
		newest = max(newest, n)
		if s.Metadata.Labels["pod-template-hash"] == hash {
			mine = i
		}
	}
	if mine >= 0 {
		revision = sets[mine].Metadata.Annotations["deployment.kubernetes.io/revision"]
		if revision == fmt.Sprint(newest) {
			return hash, revision, nil
		}
		revision = fmt.Sprint(newest + 1)
		_, err = c.server.Ask(http.MethodPatch, c.apps("replicasets")+"/"+sets[mine].Metadata.Name,
			kube.Object{
				"metadata": kube.Object{"annotations": kube.Object{"deployment.kubernetes.io/revision": revision}},
			})
		return hash, revision, err
	}
	revision = fmt.Sprint(newest + 1)
	template := into[kube.Object](into[kube.Object](kube.Object{"t": d.Spec.Template})["t"].(kube.Object))
	labels := kube.Object{"app": d.Metadata.Name, "pod-template-hash": hash}
	template["metadata"].(kube.Object)["labels"] = labels
	_, err = c.server.Ask(http.MethodPost, c.apps("replicasets"), kube.Object{
		"metadata": kube.Object{
			"name": d.Metadata.Name + "-" + hash, "labels": labels, "annotations": kube.Object{"deployment.kubernetes.io/revision": revision},
			"ownerReferences": []kube.Object{{"apiVersion": "apps/v1", "kind": "Deployment", "name": d.Metadata.Name, "uid": d.Metadata.UID, "controller": true}},
		},
		"spec": kube.Object{"replicas": d.Spec.Replicas, "selector": kube.Object{"matchLabels": labels}, "template": template},
	})
	return hash, revision, err
}

func fnv(text []byte) (h uint32) {
	h = 2166136261
	for _, b := range text {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}

// runPods makes the pods of the present template and, once they are there and healthy, takes the others away.
func (c *cluster) runPods(d deployment, hash string, broken bool) (fresh, old int, err error) {
	type pod struct {
		Metadata struct {
			Name   string
			Labels map[string]string
		}
	}
	list, err := c.server.Ask(http.MethodGet, c.pods()+"?labelSelector=app%3D"+d.Metadata.Name, nil)
	if err != nil {
		return 0, 0, err
	}
	var others []string
	for _, p := range into[struct{ Items []pod }](list).Items {
		if p.Metadata.Labels["pod-template-hash"] == hash && fresh < d.Spec.Replicas {
			fresh++
		} else {
			others = append(others, p.Metadata.Name)
		}
	}
	for ; fresh < d.Spec.Replicas; fresh++ {
		made, err := c.server.Ask(http.MethodPost, c.pods(), kube.Object{
			"metadata": kube.Object{"generateName": d.Metadata.Name + "-", "labels": kube.Object{"app": d.Metadata.Name, "pod-template-hash": hash}},
			"spec":     kube.Object{"containers": []kube.Object{{"name": "n8n", "image": "n8n"}, {"name": "runner", "image": "runners"}}},
		})
		if err != nil {
			return 0, 0, err
		}
		status := kube.Object{
			"phase": "Running", "podIP": "127.0.0.1",
			"conditions": []kube.Object{{"type": "Ready", "status": "True"}},
		}
		if broken {
			status = kube.Object{
				"phase": "Running",
				"containerStatuses": []kube.Object{{
					"name": "n8n", "image": "n8n", "imageID": "", "ready": false,
					"restartCount": 3, "state": kube.Object{"waiting": kube.Object{"reason": "CrashLoopBackOff"}},
				}},
			}
		}
		if _, err := c.server.Ask(http.MethodPatch, c.pods()+"/"+into[pod](made).Metadata.Name+"/status",
			kube.Object{"status": status}); err != nil {
			return 0, 0, err
		}
	}
	if broken {
		return fresh, len(others), nil
	}
	for _, name := range others {
		if _, err := c.server.Ask(http.MethodDelete, c.pods()+"/"+name+"?gracePeriodSeconds=0", nil); err != nil {
			return 0, 0, err
		}
	}
	return fresh, 0, nil
}

// open is the fleet as whoever has the token.
func (c *cluster) open(t *testing.T, token string, units ...string) *kubernetes.Fleet {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": [{"name": "c", "cluster": {"server": %q, "certificate-authority": %q}}],
		"users": [{"name": "u", "user": {"token": %q}}],
		"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": %q}}]}`, c.server.URL,
		c.server.CAFile, token, c.namespace)
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
			away := &cluster{server: &kube.Server{
				URL:    "https://127.0.0.1:1",
				CAFile: shared.Server(t).CAFile,
			}, namespace: "n8n"}
			return away.open(t, "token", "deployment/n8n")
		},
		Known: "deployment/n8n",
		Break: func(_ *testing.T, unit string) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.broken[strings.TrimPrefix(unit, "deployment/")] = true
		},
		Remove: func(t *testing.T, unit string) {
			t.Helper()
			c.server.Call(t, http.MethodDelete, c.apps("deployments")+"/"+strings.TrimPrefix(unit, "deployment/"), nil)
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
	c.mu.Lock()
	c.broken["n8n-main"] = true
	c.mu.Unlock()
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
