package kubernetes_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fleet"
	"sallyport/internal/kubeapi"
	"sallyport/internal/pause"
	"sallyport/internal/testkit/kube"
)

// applyManifest makes what deploy/kubernetes/fleet-rbac.yaml says, and returns a token of its service account, once its
// rights are there.
func applyManifest(t *testing.T, c *cluster) (token string) {
	t.Helper()
	c.apply(t, "fleet-rbac.yaml")
	token = c.server.Token(t, c.Namespace, "sallyport-fleet")
	f := c.open(t, token, "deployment/n8n-main")
	for deadline := time.Now().Add(3 * time.Minute); ; _ = pause.For(t.Context(), 50*time.Millisecond) {
		if _, err := f.List(t.Context()); err == nil {
			return token
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// apply makes what a manifest says.
func (c *cluster) apply(t *testing.T, name string) {
	t.Helper()
	file, err := os.Open("../../../deploy/kubernetes/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for decoder := yaml.NewDecoder(file); ; {
		var object kube.Object
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kind := strings.ToLower(object["kind"].(string)) + "s"
		at := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + c.Namespace + "/" + kind
		if kind == "serviceaccounts" {
			at = "/api/v1/namespaces/" + c.Namespace + "/" + kind
		}
		if kind == "rolebindings" { // kubectl apply -n adds it
			object["subjects"].([]any)[0].(kube.Object)["namespace"] = c.Namespace
		}
		c.server.Call(t, http.MethodPost, at, object)
	}
}

// as is a client of whoever has the token.
func (c *cluster) as(t *testing.T, token string) func(method, path string, body any) (kube.Object, int) {
	t.Helper()
	config, _, err := kubeapi.Options{Kubeconfig: c.server.Kubeconfig(t, token, c.Namespace)}.Config()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubeapi.Client(config)
	if err != nil {
		t.Fatal(err)
	}
	return func(method, path string, body any) (answer kube.Object, status int) {
		t.Helper()
		var payload bytes.Buffer
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), method, config.Host+path, &payload)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if method == http.MethodPatch {
			req.Header.Set("Content-Type", "application/merge-patch+json")
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_ = json.NewDecoder(resp.Body).Decode(&answer)
		return answer, resp.StatusCode
	}
}

// rightsOf is what the API server says that someone may in the namespace, but for what everybody may ask of himself.
func (c *cluster) rightsOf(t *testing.T, token string) (rights []string) {
	t.Helper()
	review, status := c.as(t, token)(http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
		kube.Object{"spec": kube.Object{"namespace": c.Namespace}})
	if status >= http.StatusMultipleChoices {
		t.Fatalf("asking for the rules: %d %v", status, review)
	}
	for _, one := range review["status"].(kube.Object)["resourceRules"].([]any) {
		rule := one.(kube.Object)
		text := fmt.Sprint(rule["verbs"], rule["resources"], rule["resourceNames"])
		if !strings.Contains(text, "self") {
			rights = append(rights, text)
		}
	}
	slices.Sort(rights)
	return rights
}

// TestLeastRights: who has the Role of the manifest restarts the fleet, brings it back, stops it and starts it, and may
// do nothing else.
func TestLeastRights(t *testing.T) {
	c := newCluster(t, "n8n-worker", "n8n-main", "other")
	token := applyManifest(t, c)
	units := []string{"deployment/n8n-worker", "deployment/n8n-main"}
	awaitReady(t, c.open(t, c.server.AdminToken, units...))
	journal, err := fleet.OpenFiles(filepath.Join(t.TempDir(), "fleet"))
	if err != nil {
		t.Fatal(err)
	}
	r := &fleet.Roller{
		Fleet: "prod", Orchestrator: c.open(t, token, units...), Journal: journal,
		Limits: fleet.Limits{Settle: 200 * time.Millisecond, Poll: 50 * time.Millisecond, Unit: 3 * time.Minute},
	}
	if done, err := r.Begin(t.Context(), fleet.Plan{}); err != nil || done.Status != fleet.Complete {
		t.Fatalf("restarting: %v, %v", done.Status, err)
	}
	if done, err := r.Rollback(t.Context()); err != nil || done.Status != fleet.Complete {
		t.Fatalf("rolling back: %v, %v", done.Status, err)
	}
	still := []fleet.Standing{{Unit: units[0], Want: 2}, {Unit: units[1], Want: 2}}
	if err := errors.Join(r.Halt(t.Context(), still), r.Raise(t.Context(), still)); err != nil {
		t.Fatalf("stopping and starting: %v", err)
	}

	want := []string{
		"[get patch] [deployments statefulsets] [n8n-main n8n-webhook n8n-worker]", "[get] [controllerrevisions] <nil>",
		"[list] [pods] <nil>", "[list] [replicasets] <nil>",
	}
	if diff := cmp.Diff(want, c.rightsOf(t, token)); diff != "" {
		t.Errorf("its rights (-want +got): %s", diff)
	}
	c.server.Secret(t, c.Namespace, "key", map[string]string{"key": "canary"})
	call, core := c.as(t, token), "/api/v1/namespaces/"+c.Namespace
	pod := c.Pods(t, "n8n-main")[0]
	for _, what := range []string{
		"GET " + core + "/secrets", "GET " + core + "/secrets/key", "GET " + core + "/configmaps",
		"GET " + core + "/pods/" + pod, "DELETE " + core + "/pods/" + pod, "POST " + core + "/pods",
		"POST " + core + "/pods/" + pod + "/exec?command=sh&stdout=true", "GET " + core + "/pods/" + pod + "/log",
		"POST " + core + "/serviceaccounts/sallyport-fleet/token", "GET " + c.At("deployments"),
		"POST " + c.At("deployments"), "DELETE " + c.At("deployments") + "/n8n-main",
		"PATCH " + c.At("deployments") + "/other", "PATCH " + c.At("deployments") + "/n8n-main/status",
		"PATCH " + c.At("deployments") + "/n8n-main/scale", "GET /api/v1/nodes", "GET /api/v1/namespaces",
		"GET /api/v1/namespaces/default/pods",
		"PATCH /apis/rbac.authorization.k8s.io/v1/namespaces/" + c.Namespace + "/roles/sallyport-fleet",
	} {
		method, path, _ := strings.Cut(what, " ")
		if _, status := call(method, path, kube.Object{}); status != http.StatusForbidden {
			t.Errorf("%s is answered with %d, want 403", what, status)
		}
	}

	c.apply(t, "fleet-prove-rbac.yaml")
	want = slices.Concat(want[:1], []string{"[create] [pods/exec] <nil>", "[get] [pods] <nil>"}, want[1:])
	slices.Sort(want)
	for deadline := time.Now().Add(time.Minute); ; _ = pause.For(t.Context(), 50*time.Millisecond) {
		diff := cmp.Diff(want, c.rightsOf(t, token))
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("its rights to prove keys (-want +got): %s", diff)
		}
	}
}
