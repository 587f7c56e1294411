package kubernetes_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"sallyport/internal/pause"
	"sallyport/internal/testkit/kube"
)

// applyManifest makes what deploy/kubernetes/fleet-rbac.yaml says, and returns a token of its service account, once its
// rights are there.
func applyManifest(t *testing.T, c *cluster) (token string) {
	t.Helper()
	file, err := os.Open("../../../deploy/kubernetes/fleet-rbac.yaml")
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
